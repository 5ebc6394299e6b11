"""Sinks by their kind."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry

from gateway.sinks.hdf5 import Hdf5Sink
from gateway.sinks.metrics import SinkMetrics
from gateway.sinks.mqtt import MqttSink
from gateway.sinks.postgresql import PostgresqlSink
from gateway.sinks.recorder import ResultRecorder
from gateway.sinks.settings import SinkSettings
from gateway.sinks.sink import Sink
from gateway.sinks.spool import open_spool
from gateway.sinks.sqlite import SqliteSink
from specnet.mqtt import BrokerSettings

RESULTS, SPECTRA = "results.sqlite", "spectra"


@dataclass(frozen=True)
class Surroundings:
    """What a sink may need beside its own settings."""

    settings: SinkSettings
    state_dir: Path
    broker: BrokerSettings
    metrics: SinkMetrics


def _sqlite(around: Surroundings) -> Sink:
    own = around.settings.sqlite
    path = Path(own.path) if own.path else around.state_dir / RESULTS
    return SqliteSink(path, own.max_bytes, around.metrics.dropped.labels("expired").inc)


def _postgresql(around: Surroundings) -> Sink:
    own = around.settings.postgresql
    return PostgresqlSink(own.read_dsn(), own.timeout_s)


def _mqtt(around: Surroundings) -> Sink:
    # unique, because a second client of the same name would throw the first one out
    client_id = f"specnet-gateway-sink-{os.getpid()}-{secrets.token_hex(4)}"
    return MqttSink(around.broker, around.settings.mqtt.topic, client_id)


def _hdf5(around: Surroundings) -> Sink:
    own = around.settings.hdf5
    folder = Path(own.folder) if own.folder else around.state_dir / SPECTRA
    return Hdf5Sink(folder, own.max_bytes, own.publish_s)


SINKS: dict[str, Callable[[Surroundings], Sink]] = {
    "sqlite": _sqlite,
    "postgresql": _postgresql,
    "mqtt": _mqtt,
    "hdf5": _hdf5,
}
"""What makes the sink of each kind; ``none`` has none."""


def create_recorder(
    settings: SinkSettings, state_dir: Path, broker: BrokerSettings, registry: CollectorRegistry
) -> ResultRecorder | None:
    """Make what keeps results; None when none are to be kept.

    Parameters
    ----------
    settings
        Table ``[sink]``.
    state_dir
        Folder of the gateway's own files; has the spool.
    broker
        The gateway's broker, for the kind ``mqtt``.
    registry
        Where the counters are.

    Raises
    ------
    ConfigurationError
        When the folder cannot be used, a package is missing, or a file of secrets cannot be read. A sink that is merely
        down is no error.
    """
    if settings.kind == "none":
        return None
    metrics = SinkMetrics(registry)
    sink = SINKS[settings.kind](Surroundings(settings, state_dir, broker, metrics))
    spool = open_spool(state_dir, settings.spool.max_rows, settings.spool.max_bytes)
    return ResultRecorder(settings, sink, spool, metrics)
