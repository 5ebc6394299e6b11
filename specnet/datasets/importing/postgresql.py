"""Records that gateways keep in PostgreSQL, by psycopg from the extra ``postgresql``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specnet.errors import DatasetError
from specnet.files import read_bounded

if TYPE_CHECKING:
    import psycopg

MAX_DSN_BYTES = 4096
CONNECT_TIMEOUT_S = 10
AT_ONCE = 500
"""Rows that come together; the others wait at the server."""
INSTALL = "pip install 'specnet-edge[postgresql]'"
Row = dict[str, Any]


class ResultDatabase:
    """Tables `sources` and `results` of a gateway's sink, only ever read.

    Parameters
    ----------
    path
        A file with a connection string in libpq's form, as ``sink.postgresql.dsn_file`` of a gateway: a file, because
        everybody sees a password on a command line.

    Raises
    ------
    DatasetError
        When psycopg cannot be loaded, or the file has no connection string.
    """

    def __init__(self, path: Path) -> None:
        try:
            import psycopg
            import psycopg.rows
        except ImportError as error:
            raise DatasetError(f"{path}: psycopg is needed, and cannot be loaded: {error}; {INSTALL}") from error
        self._psycopg, self._path = psycopg, path
        content = read_bounded(path, MAX_DSN_BYTES, "connection string", DatasetError)
        try:
            self._dsn = content.decode().strip()
            psycopg.conninfo.conninfo_to_dict(self._dsn)
        except (psycopg.ProgrammingError, UnicodeDecodeError):
            # the text is not shown, it may hold a password
            raise DatasetError(
                f"{path}: no connection string, expected a line such as postgresql://user@host/database"
            ) from None

    def sources(self) -> list[Row]:
        """Rows of `sources`; `DatasetError` when they cannot be read."""
        with self._connected() as connection:
            return connection.execute("SELECT * FROM sources").fetchall()

    def results(self) -> Iterator[Row]:
        """Rows of `results` with a raw spectrum, the oldest first; `DatasetError` when they cannot be read."""
        with self._connected() as connection, connection.cursor(name="specnet_import") as cursor:
            cursor.itersize = AT_ONCE
            cursor.execute("SELECT * FROM results WHERE spectrum IS NOT NULL ORDER BY time, site, device, sequence")
            for row in cursor:
                time = row["time"].astimezone(UTC).isoformat(timespec="milliseconds")
                yield {**row, "time": time, "spectrum": bytes(row["spectrum"])}

    @contextmanager
    def _connected(self) -> Iterator[psycopg.Connection[Row]]:
        try:
            with closing(
                self._psycopg.connect(
                    self._dsn,
                    connect_timeout=CONNECT_TIMEOUT_S,
                    row_factory=self._psycopg.rows.dict_row,
                    options="-c default_transaction_read_only=on",
                    application_name="specnet-import",
                )
            ) as connection:
                yield connection
        except (self._psycopg.Error, OSError) as error:
            said = " ".join(str(error).split())
            raise DatasetError(f"{self._path}: the database cannot be read, or has no results: {said}") from error
