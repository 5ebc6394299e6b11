"""Settings of the gateway, from TOML, environment (``SPECNET_GATEWAY_...``) and command line."""

from __future__ import annotations

import platform
from typing import Literal

import msgspec

from gateway.logs import Format, Level
from gateway.sinks.settings import SinkSettings
from specnet.errors import ConfigurationError, WireError
from specnet.mqtt import BrokerSettings
from specnet.ranges import check_range
from specnet.wire import MAX_PAYLOAD_BYTES
from specnet.wire.messages import MAX_TEXT
from specnet.wire.topics import check_name

PREFIX = "SPECNET_GATEWAY"


class MonitoringSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table ``[monitoring]``: where ``/metrics`` and ``/healthz`` listen.

    Parameters
    ----------
    host, port
        The loopback interface unless others, who need no password, shall see it; port 0 takes a free one.
    """

    host: str = "127.0.0.1"
    port: int = 9464

    def __post_init__(self) -> None:
        check_range("monitoring.port", self.port, 0, 65_535)


class LogSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table ``[log]``: what is written to stderr.

    Parameters
    ----------
    format
        ``text`` is a line of key=value, ``json`` a document a line.
    level
        ``debug``, ``info``, ``warning`` or ``error``; at ``debug`` each request can be followed by its id.
    """

    format: Format = "text"
    level: Level = "info"


class GatewaySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings.

    Parameters
    ----------
    store, trust_dir
        Folder of bundles; folder of public keys, one of which must have signed a bundle (empty: none has to).
    max_model_bytes
        Most memory for bundles, estimated from their files; the least recently used ones are unloaded (0: no limit).
    model_grace_s
        How long a bundle whose file was removed is served without a request for it.
    name
        Name in results and logs; the host's by default.
    group
        Replicas of one group share the requests.
    site
        Serve the devices of this site only; ``+`` serves all.
    device, engine, threads
        ``cpu`` or ``cuda``; ``auto`` is ONNX Runtime on a CPU and torch on a GPU; threads of one segment call.
    precision
        ``auto`` computes in half precision (torch) what passes its self-test so; ``float32`` nothing.
    half_tolerance
        Deviation of a logit, in nats, that half precision may have in the self-test; 0 is the bundle's own tolerance,
        which only very small networks keep.
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
    replay_window, replay_devices, replay_quiet_s
        A request so many spectra behind the latest of its device is refused (0: none); how many devices are
        remembered; after so many seconds of silence a device may count anew. See `gateway.replay`.
    rescan_s
        Pause between two looks at the store.
    drain_s
        How long to go on computing after SIGTERM.
    shared_subscription
        ``auto`` shares on MQTT 5 and not on 3.1.1; ``always``, ``never``.
    state_dir
        Folder of the gateway's own files: results on their way to the sink, and by default the results.
    broker, monitoring, log, sink
        Tables of their own.

    Raises
    ------
    ConfigurationError
        When a value is out of range; the message names the key.
    """

    store: str = "models"
    trust_dir: str = ""
    max_model_bytes: int = 0
    model_grace_s: float = 86_400.0
    name: str = msgspec.field(default_factory=lambda: platform.node() or "gateway")
    group: str = "specnet"
    site: str = "+"
    device: Literal["cpu", "cuda"] = "cpu"
    engine: Literal["auto", "onnxruntime", "torch"] = "auto"
    threads: int = 1
    precision: Literal["float32", "auto"] = "float32"
    half_tolerance: float = 0.0
    max_batch: int = 64
    max_wait_ms: float = 0.0
    max_queue: int = 1024
    max_request_bytes: int = MAX_PAYLOAD_BYTES
    receive_maximum: int = 2048
    answers: int = 10_000
    answer_age_s: float = 3600.0
    replay_window: int = 100_000
    replay_devices: int = 20_000
    replay_quiet_s: float = 60.0
    rescan_s: float = 5.0
    drain_s: float = 10.0
    shared_subscription: Literal["auto", "always", "never"] = "auto"
    state_dir: str = "gateway-state"
    broker: BrokerSettings = BrokerSettings()
    monitoring: MonitoringSettings = MonitoringSettings()
    log: LogSettings = LogSettings()
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
        check_range("max_model_bytes", self.max_model_bytes, 0, 1 << 50)
        check_range("model_grace_s", self.model_grace_s, 0, 366 * 86_400)
        check_range("threads", self.threads, 1, 1024)
        check_range("half_tolerance", self.half_tolerance, 0, 10)
        check_range("max_batch", self.max_batch, 1, 1024)
        check_range("max_wait_ms", self.max_wait_ms, 0, 10_000)
        check_range("max_queue", self.max_queue, 1, 1_000_000)
        check_range("max_request_bytes", self.max_request_bytes, 1, MAX_PAYLOAD_BYTES)
        check_range("receive_maximum", self.receive_maximum, 1, 65_535)
        check_range("answers", self.answers, 1, 10_000_000)
        check_range("answer_age_s", self.answer_age_s, 1, 7 * 86_400)
        check_range("replay_window", self.replay_window, 0, 2**53)
        check_range("replay_devices", self.replay_devices, 1, 10_000_000)
        check_range("replay_quiet_s", self.replay_quiet_s, 1, 86_400)
        check_range("rescan_s", self.rescan_s, 0.05, 86_400)
        check_range("drain_s", self.drain_s, 0, 3600)
