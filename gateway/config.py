"""Settings of the gateway, from TOML, environment (``SPECNET_GATEWAY_...``) and command line."""

from __future__ import annotations

import platform
from typing import Literal

import msgspec

from gateway.sinks.settings import SinkSettings
from specnet.errors import ConfigurationError, WireError
from specnet.mqtt import BrokerSettings
from specnet.ranges import check_range
from specnet.wire import MAX_PAYLOAD_BYTES
from specnet.wire.messages import MAX_TEXT
from specnet.wire.topics import check_name

PREFIX = "SPECNET_GATEWAY"


class MonitoringSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where ``/metrics`` and ``/healthz`` listen; port 0 takes a free one."""

    host: str = "127.0.0.1"
    port: int = 9464

    def __post_init__(self) -> None:
        check_range("monitoring.port", self.port, 0, 65_535)


class GatewaySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings.

    Parameters
    ----------
    store
        Folder of bundles.
    name
        Name in results and logs; the host's by default.
    group
        Replicas of one group share the requests.
    site
        Serve the devices of this site only; ``+`` serves all.
    device, engine, threads
        ``cpu`` or ``cuda``; ``auto`` is ONNX Runtime on a CPU and torch on a GPU; threads of one segment call.
    max_batch, max_wait_ms
        Most requests of a batch, and how long to wait for it to fill up (0: take what is there).
    max_queue
        Most requests that wait; beyond it audit samples are shed, then the newest requests.
    max_request_bytes
        Larger requests are not decoded.
    receive_maximum
        Most messages that a broker of version 5 may have under way here.
    answers, answer_age_s
        How many results are remembered, and for how long, to answer repeated requests.
    rescan_s
        Pause between two looks at the store.
    drain_s
        How long to go on computing after SIGTERM.
    shared_subscription
        ``auto`` shares on MQTT 5 and not on 3.1.1; ``always``, ``never``.
    state_dir
        Folder of the gateway's own files: results on their way to the sink, and by default the results.
    broker, monitoring, sink
        Tables of their own.

    Raises
    ------
    ConfigurationError
        When a value is out of range; the message names the key.
    """

    store: str = "models"
    name: str = msgspec.field(default_factory=lambda: platform.node() or "gateway")
    group: str = "specnet"
    site: str = "+"
    device: Literal["cpu", "cuda"] = "cpu"
    engine: Literal["auto", "onnxruntime", "torch"] = "auto"
    threads: int = 1
    max_batch: int = 64
    max_wait_ms: float = 0.0
    max_queue: int = 1024
    max_request_bytes: int = MAX_PAYLOAD_BYTES
    receive_maximum: int = 2048
    answers: int = 10_000
    answer_age_s: float = 3600.0
    rescan_s: float = 5.0
    drain_s: float = 10.0
    shared_subscription: Literal["auto", "always", "never"] = "auto"
    state_dir: str = "gateway-state"
    broker: BrokerSettings = BrokerSettings()
    monitoring: MonitoringSettings = MonitoringSettings()
    sink: SinkSettings = SinkSettings()

    def __post_init__(self) -> None:
        try:
            check_name(self.group, "group")
            if self.site != "+":
                check_name(self.site, "site (or '+' for all)")
        except WireError as error:
            raise ConfigurationError(str(error)) from error
        if not 1 <= len(self.name) <= MAX_TEXT:
            raise ConfigurationError(f"name has 1 to {MAX_TEXT} characters, got {len(self.name)}")
        check_range("threads", self.threads, 1, 1024)
        check_range("max_batch", self.max_batch, 1, 1024)
        check_range("max_wait_ms", self.max_wait_ms, 0, 10_000)
        check_range("max_queue", self.max_queue, 1, 1_000_000)
        check_range("max_request_bytes", self.max_request_bytes, 1, MAX_PAYLOAD_BYTES)
        check_range("receive_maximum", self.receive_maximum, 1, 65_535)
        check_range("answers", self.answers, 1, 10_000_000)
        check_range("answer_age_s", self.answer_age_s, 1, 7 * 86_400)
        check_range("rescan_s", self.rescan_s, 0.05, 86_400)
        check_range("drain_s", self.drain_s, 0, 3600)
