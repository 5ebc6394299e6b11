"""Records of the service: one JSON document a line."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, TextIO

import msgspec


class RecordWriter:
    """Writes records from any thread, each line at once and whole.

    Parameters
    ----------
    stream
        Where they go.
    on_broken
        Called once when nobody reads the stream any more; later records are counted, not written.
    """

    def __init__(self, stream: TextIO, on_broken: Callable[[], None]) -> None:
        self._stream = stream
        self._on_broken = on_broken
        self._lock = threading.Lock()
        self.lost = 0

    def write(self, record: Mapping[str, Any]) -> None:
        """Write one record."""
        line = msgspec.json.encode(record).decode() + "\n"
        with self._lock:
            if self.lost:
                self.lost += 1
                return
            try:
                self._stream.write(line)
                self._stream.flush()
            except (OSError, ValueError):
                self.lost = 1
        if self.lost:
            self._on_broken()
