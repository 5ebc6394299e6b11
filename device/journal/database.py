"""The journal's file: opened by one process, brought up to date, set aside when damaged; transactions."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from device.journal.schema import FORMAT, bring_up_to_date
from specnet.databases import set_aside, take_lock, transaction
from specnet.errors import ConfigurationError

logger = logging.getLogger(__name__)

WAL_PAGES = 1000
MAX_BOOT_DIGITS = 16
PAGE_BYTES = 4096


class Database:
    """SQLite with a write-ahead log.

    A transaction survives the death of the process as soon as it is committed. It survives a power cut when it is
    `durable` (``synchronous=FULL``), or once a later durable one is committed: all share one log, which is flushed in
    order.

    A lock file beside it keeps a second service out; other processes may read.

    Parameters
    ----------
    path
        Made when missing. A damaged file is set aside under another name.
    max_bytes
        Bound of the file; writing beyond it fails as on a full disk.

    Raises
    ------
    ConfigurationError
        When it cannot be made, or another process uses it.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.lock = threading.RLock()
        self.path = path
        self.is_new_after_damage = False
        self._full = True
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock_file = take_lock(path, "journal")
        except OSError as error:
            raise ConfigurationError(f"journal {path} cannot be used: {error}") from error
        try:
            self._connection = self._open()
            self._connection.execute(f"PRAGMA max_page_count={max(64, max_bytes // PAGE_BYTES)}")
        except BaseException:
            os.close(self._lock_file)
            raise

    def _open(self) -> sqlite3.Connection:
        path = self.path
        try:
            return _connect(path)
        except (sqlite3.OperationalError, OSError) as error:
            raise ConfigurationError(f"journal {path} cannot be used: {error}") from error
        except sqlite3.DatabaseError as error:
            aside = set_aside(path)
            logger.error("journal %s is damaged (%s): set aside as %s, what it held is lost", path, error, aside.name)
            self.is_new_after_damage = True
            return _connect(path)

    @property
    def remembered_boot(self) -> int:
        """Boot number that was noted beside the database, for the case that it is damaged; 0 when there is none."""
        digits = os.pread(self._lock_file, MAX_BOOT_DIGITS, 0).strip()
        return int(digits) if digits.isdigit() else 0

    def remember_boot(self, boot: int) -> None:
        """Note a boot number in the lock file; a disk that is full or broken does not matter here."""
        with suppress(OSError):
            os.pwrite(self._lock_file, f"{boot:<{MAX_BOOT_DIGITS}}".encode(), 0)
            os.fsync(self._lock_file)

    def execute(self, statement: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        """Run one statement; inside `transaction` when it writes."""
        return self._connection.execute(statement, values)

    def rows(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Read."""
        with self.lock:
            return self._connection.execute(statement, values).fetchall()

    @contextmanager
    def transaction(self, *, durable: bool = False) -> Iterator[None]:
        """Make everything inside one transaction; a nested one is part of the outer one."""
        with self.lock:
            if self._connection.in_transaction:
                yield
                return
            self._set_durable(durable)
            with transaction(self._connection):
                yield

    def write(self, statement: str, values: Sequence[Any]) -> int:
        """Run one statement as a transaction that is not durable; returns the number of rows.

        It does what `transaction` does at a third of the price, which counts where every spectrum pays it.
        """
        with self.lock:
            if not self._connection.in_transaction:
                self._set_durable(False)
            return self._connection.execute(statement, values).rowcount

    def _set_durable(self, durable: bool) -> None:
        if durable is not self._full:
            self._connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            self._full = durable

    def shrink(self, pages: int) -> None:
        """Give some free pages back to the file system."""
        with self.lock:
            # a step a page: `execute` would take one step
            self._connection.executescript(f"PRAGMA incremental_vacuum({pages})")

    @property
    def is_at_its_bound(self) -> bool:
        """Whether it may not grow any more, and has nothing free inside."""
        with self.lock:
            [[bound]], [[used]], [[free]] = (
                self._connection.execute(f"PRAGMA {name}").fetchall()
                for name in ("max_page_count", "page_count", "freelist_count")
            )
        return bool(used - free >= bound - 8)

    def close(self) -> None:
        """Close; harmless when done twice."""
        with self.lock:
            if self._lock_file < 0:
                return
            self._connection.close()
            os.close(self._lock_file)
            self._lock_file = -1


def read_only(path: Path) -> sqlite3.Connection:
    """Open a journal to read, whether or not a device is using it.

    Raises
    ------
    ConfigurationError
        When there is none, or it is not a journal that this release knows.
    """
    if not path.is_file():
        raise ConfigurationError(f"no journal at {path}: has the device run with this state_dir, site and name?")
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5.0, isolation_level=None)
        found = int(connection.execute("PRAGMA user_version").fetchone()[0])
    except sqlite3.Error as error:
        raise ConfigurationError(f"journal {path} cannot be read: {error}") from error
    if found != FORMAT:
        connection.close()
        hint = "the device brings it up to date when it starts" if found < FORMAT else "update specnet"
        raise ConfigurationError(f"journal {path} has format {found}, this command reads {FORMAT}; {hint}")
    return connection


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=5.0, isolation_level=None, check_same_thread=False)
    try:
        found = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if found > FORMAT:
            raise ConfigurationError(
                f"journal {path} has format {found}, this release knows up to {FORMAT}; update specnet"
            )
        if found == 0:  # before the first table
            connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint={WAL_PAGES}")
        connection.execute(f"PRAGMA journal_size_limit={2 * WAL_PAGES * PAGE_BYTES}")
        check = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if check != "ok":
            raise sqlite3.DatabaseError(check)
        if found < FORMAT:
            bring_up_to_date(connection, found)
    except BaseException:
        connection.close()
        raise
    return connection
