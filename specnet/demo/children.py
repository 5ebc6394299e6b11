"""Child processes of the demonstration: they end with it, whatever ends it."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from specnet.errors import SpecnetError

LOG_TAIL_BYTES = 1500
STOP_TIMEOUT_S = 8.0
MAX_LINE = 1 << 20


class ChildError(SpecnetError):
    """A process of the demonstration did not do its part."""


class Child:
    """A Python module run as a process that writes JSON lines; a context manager.

    Parameters
    ----------
    name
        For messages and the log's name.
    arguments
        Module and its options, as after ``python -m``.
    folder
        Where its stderr goes, as ``<name>.log``.
    """

    def __init__(self, name: str, arguments: Sequence[str], folder: Path) -> None:
        self.name = name
        self.log_path = folder / f"{name}.log"
        wrapper = [sys.executable, "-I", "-S", str(Path(__file__).with_name("die_with_parent.py")), str(os.getpid())]
        with self.log_path.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603  (the command is ours)
                [*wrapper, sys.executable, "-m", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                # a Ctrl-C in the terminal is for the demonstration, which stops its children in order
                start_new_session=True,
            )
        self._records: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, name=f"{name}-records", daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Process number."""
        return self._process.pid

    def next_record(self, timeout: float) -> dict[str, Any] | None:
        """Next JSON line, or None when the process has ended.

        Raises
        ------
        ChildError
            When none comes in time.
        """
        try:
            return self._records.get(timeout=timeout)
        except queue.Empty:
            raise ChildError(f"{self.name} has not said anything for {timeout:g} s; {self._tail()}") from None

    def expect(self, key: str, timeout: float) -> dict[str, Any]:
        """Skip to the first record that has a key.

        Raises
        ------
        ChildError
            When the process ends or is silent before.
        """
        while (record := self.next_record(timeout)) is not None:
            if key in record:
                return record
        raise ChildError(f"{self.name} ended with code {self._process.wait()}; {self._tail()}")

    def records(self, timeout: float) -> list[dict[str, Any]]:
        """All JSON lines that are there, after up to `timeout` seconds for the first one."""
        found: list[dict[str, Any]] = []
        try:
            while True:
                record = self._records.get(timeout=0.0 if found else timeout) if timeout else self._records.get_nowait()
                if record is None:
                    self._records.put(None)
                    return found
                found.append(record)
        except queue.Empty:
            return found

    @property
    def alive(self) -> bool:
        """Whether the process has not ended."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End it with SIGKILL, as a power cut would."""
        self._process.kill()
        self._process.wait()

    def terminate(self) -> None:
        """Ask it to end with SIGTERM, and do not wait."""
        self._process.terminate()

    def wait(self, timeout: float) -> int:
        """Exit code; `ChildError` when the process does not end in time."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise ChildError(f"{self.name} still runs after {timeout:g} s; {self._tail()}") from None

    def stop(self) -> None:
        """End it with SIGTERM, and with SIGKILL when that is not enough."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._reader.join(STOP_TIMEOUT_S)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        while line := self._process.stdout.readline(MAX_LINE):
            try:
                record = json.loads(line)
            except ValueError:
                record = None
            # null must not look like the end of the process, and a number has no keys to look for
            self._records.put(record if isinstance(record, dict) else {"type": "garbage"})
        self._records.put(None)

    def _tail(self) -> str:
        text = self.log_path.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace").strip()
        return f"its log {self.log_path} ends:\n{text}" if text else f"its log {self.log_path} is empty"
