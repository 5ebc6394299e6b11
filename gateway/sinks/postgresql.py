"""Results in PostgreSQL, by psycopg from the extra ``postgresql``."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from gateway.sinks.table import definitions, insertions, record_rows, source_rows
from specnet.errors import ConfigurationError, SinkDownError, SinkRefusedError
from specnet.wire.records import ResultRecord

if TYPE_CHECKING:
    import psycopg

INSTALL = "pip install 'specnet-edge[gateway,postgresql]'"
KEEPALIVE_S = 10
_MAKE_TABLES = 7_353_116_040_019
"""Number of the advisory lock under which tables are made: two servers' CREATE IF NOT EXISTS can collide."""


class PostgresqlSink:
    """Tables `results` and `sources` of a database, made when they are missing; any number of gateways share them.

    Parameters
    ----------
    dsn
        Where to connect, in libpq's form.
    timeout_s
        For connecting and for each statement, in seconds.

    Raises
    ------
    ConfigurationError
        When psycopg is not installed, or `dsn` is no connection string.
    """

    only_examples = False

    def __init__(self, dsn: str, timeout_s: int) -> None:
        if importlib.util.find_spec("psycopg") is None:
            raise ConfigurationError(f"sink.kind = 'postgresql' needs psycopg, which is not installed: {INSTALL}")
        try:
            import psycopg
        except ImportError as error:  # psycopg is there, the library below it is not
            raise ConfigurationError(f"sink.kind = 'postgresql' cannot load psycopg: {error}; {INSTALL}") from error
        self._psycopg = psycopg
        try:
            psycopg.conninfo.conninfo_to_dict(dsn)
        except psycopg.ProgrammingError:
            # the text is not shown, it may hold a password
            raise ConfigurationError(
                "sink.postgresql: no connection string, expected such as postgresql://user@host/database"
            ) from None
        self._dsn = dsn
        self._timeout_s = timeout_s
        self._connection: psycopg.Connection | None = None
        self._insert_record, self._insert_source = insertions("%s")

    def write(self, records: Sequence[ResultRecord]) -> None:
        """Commit records in one transaction; errors as `Sink.write`."""
        errors = self._psycopg
        try:
            connection = self._opened()
            with connection.transaction(), connection.cursor() as cursor:
                if sources := source_rows(records):
                    cursor.executemany(self._insert_source, sources)
                cursor.executemany(self._insert_record, record_rows(records))
        except (errors.DataError, errors.IntegrityError) as error:
            self._drop_connection()
            raise SinkRefusedError(f"PostgreSQL refuses a result: {_one_line(error)}") from error
        except (errors.Error, OSError) as error:
            # missing rights and full disks too: an administrator can help, and then the results are still here
            self._drop_connection()
            raise SinkDownError(f"PostgreSQL cannot be written: {_one_line(error)}") from error

    def tend(self) -> None:
        """Nothing falls due."""

    def close(self) -> None:
        """Disconnect."""
        self._drop_connection()

    def _opened(self) -> psycopg.Connection:
        if self._connection is None:
            connection = self._psycopg.connect(
                self._dsn,
                autocommit=True,
                connect_timeout=self._timeout_s,
                options=f"-c statement_timeout={1000 * self._timeout_s}",
                # a server whose machine vanished would otherwise be waited for a quarter of an hour
                tcp_user_timeout=1000 * self._timeout_s,
                keepalives_idle=KEEPALIVE_S,
                application_name="specnet-gateway",
            )
            try:
                with connection.transaction():
                    connection.execute("SELECT pg_advisory_xact_lock(%s)", (_MAKE_TABLES,))
                    for statement in definitions(blob="BYTEA", time="TIMESTAMPTZ"):
                        connection.execute(statement.encode())
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(self._psycopg.Error, OSError):
                connection.close()


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
