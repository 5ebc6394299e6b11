"""Requests that wait for their result, on disk: they survive a crash, a power cut and a week without a broker."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from specnet.errors import ConfigurationError

logger = logging.getLogger(__name__)

SCHEMA_VERSION = 1
_OLDEST = "(boot, sequence) = (SELECT boot, sequence FROM requests ORDER BY boot, sequence LIMIT 1)"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS requests (
    boot INTEGER NOT NULL, sequence INTEGER NOT NULL, topic TEXT NOT NULL, payload BLOB NOT NULL, local BLOB NOT NULL,
    PRIMARY KEY (boot, sequence)
);
"""


class PendingRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request without result, and the device's own answer that stands until then.

    `acquired` is the wall-clock time of the spectrum in seconds; it is compared only within one boot.
    """

    boot: int
    sequence: int
    bundle: str
    label: int
    class_name: str
    probability: float
    exit_index: int
    macs: int
    local_us: float
    payload_bytes: int
    acquired: float
    known: bool = True

    @property
    def key(self) -> tuple[int, int]:
        """``(boot, sequence)``."""
        return self.boot, self.sequence


class Outbox:
    """Bounded store of pending requests; forgets one only when its final answer is out.

    SQLite with a write-ahead log and ``synchronous=FULL``: one flush to disk for each uncertain spectrum. With NORMAL a
    power cut could take back the last boot number, and two different spectra would then have the same id.

    When it is full, the oldest requests go: an old answer is worth less than a new one, and its provisional answer
    stands. How often a request was sent is not stored: after a restart everything is due at once, and flash memory is
    spared.

    Parameters
    ----------
    path
        The database; made when missing. A damaged one is set aside under another name.
    max_bytes
        Bound of all payloads together.
    max_requests
        Bound of their number.

    Raises
    ------
    ConfigurationError
        When the database cannot be made, or another process uses it.
    """

    def __init__(self, path: Path, *, max_bytes: int, max_requests: int) -> None:
        self._max_bytes = max_bytes
        self._max_requests = max_requests
        self._lock = threading.RLock()
        self._connection, fresh_start = _open(path)
        count, size = self._connection.execute(
            "SELECT COUNT(*), COALESCE(SUM(LENGTH(payload)), 0) FROM requests"
        ).fetchone()
        self._count, self._bytes = int(count), int(size)
        self.boot = self._next_boot(fresh_start)

    def __len__(self) -> int:
        return self._count

    @property
    def payload_bytes(self) -> int:
        """Size of all payloads together."""
        return self._bytes

    def put(self, request: PendingRequest, topic: str, payload: bytes) -> list[PendingRequest]:
        """Store a request before it is sent.

        Returns
        -------
        list of PendingRequest
            Older ones that had to go; possibly the new one itself, when it alone is over the bound.
        """
        local = msgspec.msgpack.encode(request)
        with self.transaction():
            self._connection.execute(
                "INSERT INTO requests VALUES (?, ?, ?, ?, ?)", (*request.key, topic, payload, local)
            )
            self._count += 1
            self._bytes += len(payload)
            dropped = []
            while self._count > self._max_requests or self._bytes > self._max_bytes:
                oldest = self._delete(_OLDEST)
                assert oldest is not None
                dropped.append(oldest)
            return dropped

    def pending(self) -> list[PendingRequest]:
        """All requests without result, oldest first."""
        with self._lock:
            rows = self._connection.execute("SELECT local FROM requests ORDER BY boot, sequence").fetchall()
        return [msgspec.msgpack.decode(row[0], type=PendingRequest) for row in rows]

    def message(self, key: tuple[int, int]) -> tuple[str, bytes] | None:
        """Topic and payload of a request; None when it is not pending any more."""
        with self._lock:
            row = self._connection.execute(
                "SELECT topic, payload FROM requests WHERE boot = ? AND sequence = ?", key
            ).fetchone()
        return None if row is None else (row[0], row[1])

    def get(self, key: tuple[int, int]) -> PendingRequest | None:
        """Look up a request; None when it is not pending."""
        with self._lock:
            row = self._connection.execute("SELECT local FROM requests WHERE boot = ? AND sequence = ?", key).fetchone()
        return None if row is None else msgspec.msgpack.decode(row[0], type=PendingRequest)

    def finish(self, key: tuple[int, int]) -> bool:
        """Forget a request; False when it was not pending, so that a repeated result is known as such."""
        return self._delete("boot = ? AND sequence = ?", key) is not None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make everything inside one transaction; may be nested.

        Emit final answers inside, after `finish`: when the process dies in between, the request is pending again and
        its answer comes once more, with the same ids, rather than never.
        """
        with self._lock:
            if self._connection.in_transaction:
                yield
                return
            before = self._count, self._bytes
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                self._count, self._bytes = before
                with suppress(sqlite3.Error):  # SQLite itself ends a transaction that found the disk full
                    self._connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close the database; what is pending stays on disk."""
        with self._lock:
            self._connection.close()

    def _delete(self, where: str, values: tuple[int, ...] = ()) -> PendingRequest | None:
        with self.transaction():
            row = self._connection.execute(
                f"DELETE FROM requests WHERE {where} RETURNING local, LENGTH(payload)",  # noqa: S608  (constants only)
                values,
            ).fetchone()
            if row is None:
                return None
            self._count -= 1
            self._bytes -= int(row[1])
            return msgspec.msgpack.decode(row[0], type=PendingRequest)

    def _next_boot(self, fresh_start: int) -> int:
        with self.transaction():
            row = self._connection.execute("SELECT value FROM counters WHERE name = 'boot'").fetchone()
            boot = max(fresh_start, 1 + (0 if row is None else int(row[0])))
            self._connection.execute("INSERT OR REPLACE INTO counters VALUES ('boot', ?)", (boot,))
            return boot


def _open(path: Path) -> tuple[sqlite3.Connection, int]:
    """Open the database; the second value is the least boot number."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return _connect(path), 1
    except (sqlite3.OperationalError, OSError) as error:
        hint = "; is another process using it?" if "locked" in str(error) else ""
        raise ConfigurationError(f"outbox {path} cannot be used: {error}{hint}") from error
    except sqlite3.DatabaseError as error:
        aside = path.with_name(f"{path.name}.damaged-{time.time_ns()}")
        logger.error("outbox %s is damaged (%s): set aside as %s, its requests are lost", path, error, aside.name)
        path.rename(aside)
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        # earlier boot numbers are lost with it; the clock gives one that was certainly not used
        return _connect(path), int(time.time())


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=1.0, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if version > SCHEMA_VERSION:
            raise ConfigurationError(
                f"outbox {path} has format {version}, this release knows up to {SCHEMA_VERSION}; update specnet"
            )
        check = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if check != "ok":
            raise sqlite3.DatabaseError(check)
        connection.executescript(_SCHEMA)
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        # a first write takes the exclusive lock, so that a second process is refused now and not later
        connection.execute("INSERT OR IGNORE INTO counters VALUES ('boot', 0)")
    except BaseException:
        connection.close()
        raise
    return connection
