"""From the worker's thread to the spool's: a bounded buffer in memory."""

from __future__ import annotations

import threading

from specnet.wire.records import ResultRecord

RECORD_BYTES = 1000
"""What a record is taken to need in memory beside its spectrum."""


class HandOver:
    """Takes records from any thread without ever waiting for a disk; one thread empties it.

    What is in here is lost when the process is killed.

    Parameters
    ----------
    max_rows, max_bytes
        Bounds; a record that finds no room is refused.
    """

    def __init__(self, max_rows: int, max_bytes: int) -> None:
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._records: list[ResultRecord] = []
        self._bytes = 0
        self._something = threading.Event()

    def put(self, record: ResultRecord) -> bool:
        """Add a record; False when there is no room."""
        size = RECORD_BYTES + len(record.spectrum)
        with self._lock:
            if len(self._records) >= self._max_rows or self._bytes + size > self._max_bytes:
                return False
            self._records.append(record)
            self._bytes += size
        # the reader is woken once for many records: setting the event costs more than all of the above
        if not self._something.is_set():
            self._something.set()
        return True

    def take(self) -> list[ResultRecord]:
        """Take everything, oldest first."""
        with self._lock:
            records, self._records, self._bytes = self._records, [], 0
            self._something.clear()
        return records

    @property
    def waiting(self) -> bool:
        """Whether there is something to take."""
        return bool(self._records)

    def wait(self) -> None:
        """Wait until there is something, or `wake` was called."""
        self._something.wait()

    def wake(self) -> None:
        """End a `wait`."""
        self._something.set()
