"""Table ``[sink]`` of the gateway's configuration."""

from __future__ import annotations

import os
import re
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from specnet.errors import BrokerError, ConfigurationError
from specnet.files import read_bounded
from specnet.mqtt.messages import check_topic
from specnet.mqtt.settings import VARIABLE
from specnet.ranges import check_range

MAX_DSN_BYTES = 4096
_PASSWORD_WORD = re.compile(r"\bpassword\s*=", re.IGNORECASE)
_RESERVED = "specnet/v1/"
TEBIBYTE = 1 << 40


class SqliteSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An SQLite file.

    Parameters
    ----------
    path
        Empty: ``results.sqlite`` in the gateway's state folder.
    max_bytes
        Beyond this size the oldest results go.
    """

    path: str = ""
    max_bytes: int = 4 << 30

    def __post_init__(self) -> None:
        check_range("sink.sqlite.max_bytes", self.max_bytes, 1 << 20, TEBIBYTE)


def _has_password(dsn: str) -> bool:
    try:
        return urlsplit(dsn).password is not None or _PASSWORD_WORD.search(dsn) is not None
    except ValueError:  # brackets that are no address: libpq will say so
        return _PASSWORD_WORD.search(dsn) is not None


class PostgresqlSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A PostgreSQL database, named in one of three ways; libpq's own (``~/.pgpass``, ``PGPASSWORD``) work as well.

    Parameters
    ----------
    dsn
        ``postgresql://user@host/database`` or ``host=... dbname=...``, without a password.
    dsn_file
        File whose first line is the same, possibly with a password.
    dsn_env
        Name of the environment variable that holds it.
    timeout_s
        For connecting and for each statement, in seconds.
    """

    dsn: str = ""
    dsn_file: str = ""
    dsn_env: str = ""
    timeout_s: int = 15

    def __post_init__(self) -> None:
        check_range("sink.postgresql.timeout_s", self.timeout_s, 1, 600)
        if sum(map(bool, (self.dsn, self.dsn_file, self.dsn_env))) > 1:
            raise ConfigurationError("sink.postgresql has more than one of dsn, dsn_file and dsn_env, expected one")
        if _has_password(self.dsn):
            # the text itself is not shown: it would be in the log
            raise ConfigurationError("sink.postgresql.dsn has a password: put it into a file and name that as dsn_file")
        if self.dsn_env and not VARIABLE.match(self.dsn_env):
            raise ConfigurationError("sink.postgresql.dsn_env is the name of an environment variable, got another text")

    def read_dsn(self) -> str:
        """Find out what to connect to.

        Raises
        ------
        ConfigurationError
            When none of the three is set, the file cannot be read, or there is no such variable.
        """
        if self.dsn_file:
            content = read_bounded(self.dsn_file, MAX_DSN_BYTES, "sink.postgresql.dsn_file", ConfigurationError)
            found, where = content.decode(errors="replace").partition("\n")[0].strip(), f"file {self.dsn_file!r}"
        elif self.dsn_env:
            found, where = os.environ.get(self.dsn_env, "").strip(), f"environment variable {self.dsn_env!r}"
        else:
            found, where = self.dsn, "sink.postgresql.dsn (or dsn_file, dsn_env)"
        if not found:
            raise ConfigurationError(f"{where} has nothing, expected such as postgresql://user@host/database")
        return found


class MqttSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A topic of the gateway's own broker.

    Parameters
    ----------
    topic
        Each record is one JSON document there, QoS 1, at least once.
    """

    topic: str = "specnet/results"

    def __post_init__(self) -> None:
        try:
            check_topic(self.topic)
        except BrokerError as error:
            raise ConfigurationError(f"sink.mqtt.topic: {error}") from error
        if self.topic.startswith(_RESERVED):
            raise ConfigurationError(
                f"sink.mqtt.topic is not below {_RESERVED}, where devices talk; got {self.topic!r}"
            )


class Hdf5Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A folder of HDF5 files, one a day (UTC) and axis.

    Parameters
    ----------
    folder
        Empty: ``spectra`` in the gateway's state folder.
    max_bytes
        Of the intensities of one file before compression; what is beyond goes into a further file of the day.
    publish_s
        How often a growing file is written anew, in seconds.
    """

    folder: str = ""
    max_bytes: int = 64 << 20
    publish_s: float = 300.0

    def __post_init__(self) -> None:
        check_range("sink.hdf5.max_bytes", self.max_bytes, 1 << 16, 1 << 30)
        check_range("sink.hdf5.publish_s", self.publish_s, 0, 86_400)


class SpoolSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds of what waits for the sink.

    Parameters
    ----------
    max_rows, max_bytes
        Of the spool on disk; beyond them the oldest records go.
    memory_rows, memory_bytes
        Of the hand-over in memory, which a SIGKILL can lose; beyond them new records are not kept.
    gather_s
        How long records gather in memory before they are written to the spool together, in seconds.
    """

    max_rows: int = 1_000_000
    max_bytes: int = 256 << 20
    memory_rows: int = 10_000
    memory_bytes: int = 16 << 20
    gather_s: float = 0.2

    def __post_init__(self) -> None:
        check_range("sink.spool.max_rows", self.max_rows, 1, 1_000_000_000)
        check_range("sink.spool.max_bytes", self.max_bytes, 1 << 10, TEBIBYTE)
        check_range("sink.spool.memory_rows", self.memory_rows, 1, 1_000_000)
        check_range("sink.spool.memory_bytes", self.memory_bytes, 1 << 10, 1 << 32)
        check_range("sink.spool.gather_s", self.gather_s, 0, 60)


class SinkSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where results are kept.

    Parameters
    ----------
    kind
        ``sqlite``, ``postgresql``, ``mqtt``, ``hdf5``, or ``none`` to keep none.
    batch
        Most records that are written together.
    retry_min_s, retry_max_s
        Bounds of the exponential back-off while the sink is down, in seconds.
    sqlite, postgresql, mqtt, hdf5, spool
        Tables of their own.

    Raises
    ------
    ConfigurationError
        When a value is out of range; the message names the key.
    """

    kind: Literal["sqlite", "postgresql", "mqtt", "hdf5", "none"] = "sqlite"
    batch: int = 256
    retry_min_s: float = 0.5
    retry_max_s: float = 60.0
    sqlite: SqliteSettings = SqliteSettings()
    postgresql: PostgresqlSettings = PostgresqlSettings()
    mqtt: MqttSettings = MqttSettings()
    hdf5: Hdf5Settings = Hdf5Settings()
    spool: SpoolSettings = SpoolSettings()

    def __post_init__(self) -> None:
        check_range("sink.batch", self.batch, 1, 10_000)
        check_range("sink.retry_min_s", self.retry_min_s, 0.01, 3600)
        check_range("sink.retry_max_s", self.retry_max_s, self.retry_min_s, 86_400)
