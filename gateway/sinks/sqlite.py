"""Results in an SQLite file: the default, because it needs nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from gateway.sinks.table import TABLE, definitions, insertions, record_rows, source_rows
from specnet.errors import SinkDownError, SinkRefusedError
from specnet.wire.records import ResultRecord

BUSY_S = 10.0
_REFUSED = (sqlite3.DataError, sqlite3.IntegrityError, OverflowError, UnicodeEncodeError)


class SqliteSink:
    """Tables `results` and `sources`; several gateways of one machine may share the file.

    Parameters
    ----------
    path
        Made when missing, with its folder.
    max_bytes
        Beyond this the oldest results go.
    on_expired
        Told how many went.
    """

    only_examples = False

    def __init__(self, path: Path, max_bytes: int, on_expired: Callable[[int], None]) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._on_expired = on_expired
        self._connection: sqlite3.Connection | None = None
        self._insert_record, self._insert_source = insertions("?")

    def write(self, records: Sequence[ResultRecord]) -> None:
        """Commit records in one transaction; errors as `Sink.write`."""
        try:
            expired = self._commit(records)
        except _REFUSED as error:
            self._drop_connection()
            raise SinkRefusedError(f"{self._path}: {error}") from error
        except (sqlite3.Error, OSError) as error:
            self._drop_connection()
            raise SinkDownError(f"{self._path} cannot be written: {error}") from error
        if expired:
            self._on_expired(expired)

    def tend(self) -> None:
        """Nothing falls due."""

    def close(self) -> None:
        """Close the file."""
        self._drop_connection()

    def _commit(self, records: Sequence[ResultRecord]) -> int:
        connection = self._opened()
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(self._insert_source, source_rows(records))
        connection.executemany(self._insert_record, record_rows(records))
        expired = 0
        if self._used_bytes(connection) > self._max_bytes:
            # twice as many as came: the file shrinks even when the new ones are larger
            oldest = f"SELECT rowid FROM {TABLE} ORDER BY rowid LIMIT ?"  # noqa: S608
            statement = f"DELETE FROM {TABLE} WHERE rowid IN ({oldest})"  # noqa: S608
            expired = connection.execute(statement, (2 * len(records),)).rowcount
        connection.execute("COMMIT")
        return expired

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self._path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                # a record leaves the spool when it is here, so it must survive a power cut from now on
                connection.execute("PRAGMA synchronous = FULL")
                for statement in definitions(blob="BLOB", time="TEXT"):
                    connection.execute(statement)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _used_bytes(self, connection: sqlite3.Connection) -> int:
        size, pages, free = (
            int(connection.execute(f"PRAGMA {name}").fetchone()[0])
            for name in ("page_size", "page_count", "freelist_count")
        )
        return size * (pages - free)

    def _drop_connection(self) -> None:
        """Close, which also rolls back; the next write opens again, in case the file was replaced or moved."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()
