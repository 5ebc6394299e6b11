"""What databases in one file of SQLite need that only one process may write."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from specnet.errors import ConfigurationError


class LockedError(ConfigurationError):
    """Another process uses the database."""


def take_lock(path: Path, what: str) -> int:
    """Lock ``<path>.lock`` for as long as this process lives or the descriptor that is returned stays open.

    Raises
    ------
    LockedError
        When another process has it; the message begins with `what` and the path.
    OSError
        When the file cannot be made.
    """
    descriptor = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if not isinstance(error, BlockingIOError):
            raise
        raise LockedError(f"{what} {path} cannot be used: another process is using it") from error
    return descriptor


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing; the connection is one without transactions of its own (``isolation_level=None``)."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):  # SQLite itself ends a transaction that found the disk full
            connection.execute("ROLLBACK")
        raise


def set_aside(path: Path) -> Path:
    """Give a damaged database another name, and remove what belongs to its connections; returns the new name."""
    aside = path.with_name(f"{path.name}.damaged-{time.time_ns()}")
    path.rename(aside)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    return aside
