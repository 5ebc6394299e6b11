"""Records on disk that wait for the sink: bounded, and forgotten only when the sink has committed them."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

from gateway.logs import fields
from specnet.databases import LockedError, set_aside, take_lock, transaction
from specnet.errors import ConfigurationError
from specnet.wire.records import ResultRecord, SpectrumSource, without_source

_LOGGER = logging.getLogger(__name__)
FORMAT = 1
MAX_SPOOLS = 64
BATCH_BYTES = 8 << 20
UNBOUNDED = 1 << 62
_SCHEMA = f"""
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA journal_mode = WAL;
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS records (
    number INTEGER PRIMARY KEY AUTOINCREMENT, time REAL NOT NULL, source TEXT, body BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS sources (id TEXT PRIMARY KEY, body BLOB NOT NULL);
PRAGMA user_version = {FORMAT};
COMMIT;
"""

_encoder = msgspec.msgpack.Encoder()
_record_decoder = msgspec.msgpack.Decoder(ResultRecord)
_source_decoder = msgspec.msgpack.Decoder(SpectrumSource)


class Batch(NamedTuple):
    """The oldest records: up to which number of the spool, and how many rows could not be read."""

    records: list[ResultRecord]
    up_to: int
    undecodable: int


class Spool:
    """A queue of records in an SQLite file of one process; all methods may be called from any thread.

    What `put` has returned from survives the death of the process and a power cut. When a bound is reached, the oldest
    records go: the newest are of the models and instruments that are in use.

    Parameters
    ----------
    path
        Made when missing. A damaged file is set aside under another name. A lock file beside it keeps others out.
    max_rows, max_bytes
        Bounds of what waits; bytes are those of the records, to which the file adds a tenth.

    Raises
    ------
    ConfigurationError
        When it cannot be made, another process uses it, or it is of a newer format.
    """

    def __init__(self, path: Path, max_rows: int, max_bytes: int) -> None:
        self.path = path
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self._mutex = threading.RLock()
        # up to here a batch is being written, which must not be dropped meanwhile
        self._held = 0
        self._sources: dict[str, SpectrumSource] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = take_lock(path, "spool")
        except OSError as error:
            raise ConfigurationError(f"spool {path} cannot be used: {error}") from error
        try:
            self._connection = self._open()
            counted = self._connection.execute(
                "SELECT count(*), coalesce(sum(length(body)), 0) FROM records"
            ).fetchone()
            self._rows, self._size = int(counted[0]), int(counted[1])
        except BaseException:
            os.close(self._lock)
            raise

    @property
    def rows(self) -> int:
        """Records that wait."""
        return self._rows

    @property
    def size(self) -> int:
        """Bytes of the records that wait."""
        return self._size

    def age_s(self, now: float) -> float:
        """Age of the oldest record in seconds, at `now` (seconds since 1970); 0 when none waits."""
        with self._mutex:
            if self._lock < 0:
                return 0.0
            row = self._connection.execute("SELECT time FROM records ORDER BY number LIMIT 1").fetchone()
        return 0.0 if row is None else max(0.0, now - row[0])

    def put(self, records: Sequence[ResultRecord]) -> int:
        """Add records, whole or not at all.

        Returns
        -------
        int
            How many had to go for them.

        Raises
        ------
        sqlite3.Error
            When they cannot be written, as on a full disk; nothing has changed then.
        """
        rows = [_row(record) for record in records]
        sources = {record.source.id: record.source for record in records if record.source is not None}
        with self._mutex:
            n_rows, n_bytes, dropped = self._rows + len(rows), self._size + sum(len(row[2]) for row in rows), 0
            with transaction(self._connection):
                self._connection.executemany(
                    "INSERT OR IGNORE INTO sources VALUES (?, ?)",
                    [(name, _encoder.encode(sources[name])) for name in sources.keys() - self._sources.keys()],
                )
                self._connection.executemany("INSERT INTO records (time, source, body) VALUES (?, ?, ?)", rows)
                while n_rows > self._max_rows or n_bytes > self._max_bytes:
                    gone, size = self._drop_oldest(max(n_rows - self._max_rows, 1))
                    if not gone:
                        break
                    n_rows, n_bytes, dropped = n_rows - gone, n_bytes - size, dropped + gone
            self._rows, self._size = n_rows, n_bytes
            self._sources |= sources
        return dropped

    def batch(self, limit: int) -> Batch:
        """Look at the oldest records, at most `limit` and some megabytes; they stay until `remove`."""
        with self._mutex:
            records: list[ResultRecord] = []
            up_to = undecodable = size = 0
            rows = self._connection.execute(
                "SELECT number, source, body FROM records ORDER BY number LIMIT ?", (limit,)
            ).fetchall()
            for number, source, body in rows:
                if size and size + len(body) > BATCH_BYTES:
                    break
                up_to, size = number, size + len(body)
                try:
                    records.append(self._decoded(body, source))
                except (msgspec.MsgspecError, KeyError):
                    undecodable += 1
            self._held = up_to
            return Batch(records, up_to, undecodable)

    def remove(self, up_to: int) -> None:
        """Forget the records of a batch, which the sink has committed."""
        with self._mutex:
            with transaction(self._connection):
                [[n, size]] = self._connection.execute(
                    "SELECT count(*), coalesce(sum(length(body)), 0) FROM records WHERE number <= ?", (up_to,)
                )
                self._connection.execute("DELETE FROM records WHERE number <= ?", (up_to,))
            self._rows, self._size, self._held = self._rows - n, self._size - size, 0
            if not self._rows:
                # a step a page: `execute` would take one step
                self._connection.executescript("PRAGMA incremental_vacuum")

    def release(self) -> None:
        """Say that a batch could not be written: its records may be dropped again."""
        with self._mutex:
            self._held = 0

    def close(self) -> None:
        """Close; harmless when done twice."""
        with self._mutex:
            if self._lock < 0:
                return
            self._connection.close()
            os.close(self._lock)
            self._lock = -1

    def _open(self) -> sqlite3.Connection:
        try:
            return _connect(self.path)
        except sqlite3.OperationalError as error:
            raise ConfigurationError(f"spool {self.path} cannot be used: {error}") from error
        except sqlite3.DatabaseError as error:
            aside = set_aside(self.path)
            _LOGGER.error("a damaged spool was set aside", extra=fields(path=aside, error=error))
            return _connect(self.path)

    def _drop_oldest(self, count: int) -> tuple[int, int]:
        victims = self._connection.execute(
            "SELECT number, length(body) FROM records WHERE number > ? ORDER BY number LIMIT ?", (self._held, count)
        ).fetchall()
        if victims:
            span = (self._held, victims[-1][0])
            self._connection.execute("DELETE FROM records WHERE number > ? AND number <= ?", span)
        return len(victims), sum(size for _, size in victims)

    def _decoded(self, body: bytes, source: str | None) -> ResultRecord:
        record = _record_decoder.decode(body)
        if source is None:
            return record
        if source not in self._sources:
            row = self._connection.execute("SELECT body FROM sources WHERE id = ?", (source,)).fetchone()
            if row is None:
                raise KeyError(source)
            self._sources[source] = _source_decoder.decode(row[0])
        return msgspec.structs.replace(record, source=self._sources[source])


def open_spool(folder: Path, max_rows: int, max_bytes: int) -> Spool:
    """Open the first spool of a folder that no other process uses, and take over what dead processes left in others.

    Raises
    ------
    ConfigurationError
        When there is none, or the folder cannot be used.
    """
    for number in range(1, MAX_SPOOLS + 1):
        try:
            spool = Spool(folder / f"spool-{number}.sqlite", max_rows, max_bytes)
        except LockedError:
            continue
        for path in sorted(folder.glob("spool-*.sqlite")):
            if path != spool.path:
                try:
                    _take_over(spool, path)
                except LockedError:
                    continue
                except (ConfigurationError, sqlite3.Error) as error:
                    _LOGGER.error("a spool cannot be taken over", extra=fields(path=path, error=error))
        return spool
    raise ConfigurationError(f"{folder} has {MAX_SPOOLS} spools that other processes use; give gateways folders apart")


def _take_over(spool: Spool, path: Path) -> None:
    orphan = Spool(path, UNBOUNDED, UNBOUNDED)
    try:
        while (batch := orphan.batch(1000)).up_to:
            spool.put(batch.records)
            orphan.remove(batch.up_to)
    finally:
        orphan.close()
    path.unlink()


def _row(record: ResultRecord) -> tuple[float, str | None, bytes]:
    body = _encoder.encode(without_source(record))
    return datetime.fromisoformat(record.time).timestamp(), record.source.id if record.source else None, body


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=5.0, isolation_level=None, check_same_thread=False)
    try:
        found = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if found > FORMAT:
            raise ConfigurationError(f"spool {path} has format {found}, this release knows up to {FORMAT}")
        if found < FORMAT:  # otherwise nothing is written: a full disk is no reason not to start
            connection.executescript(_SCHEMA)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("SELECT count(*) FROM records").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection
