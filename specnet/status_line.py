"""Progress on a terminal where nothing but the standard library is installed."""

from __future__ import annotations

import sys
from typing import Self


class StatusLine:
    """A line on stderr that is written over, where that is a terminal; a context manager that clears it."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.show("")

    def show(self, text: str) -> None:
        """Replace the line."""
        if self._shown:
            sys.stderr.write(f"\r\x1b[2K{text}")
            sys.stderr.flush()
