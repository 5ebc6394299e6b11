"""Configuration of a device: one TOML file, ``SPECNET_DEVICE_...`` in the environment, options of the command line.

::

    site = "lab"                      # names in the topics
    device = "node-1"
    bundle = "minerals.specnet"
    state_dir = "/var/lib/specnet"    # journal: history, pending requests, boot counter
    split = 1                         # segments 0..1 run here

    [spectrometer]
    port = "/dev/ttyACM0"
    [broker]
    host = "gateway.local"
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from device.choosing.settings import AUTO, ChoosingSettings
from device.choosing.table import deepest_split
from device.journal.settings import HistorySettings, OutboxSettings
from device.models.settings import ModelSettings
from device.read_ahead import AcquisitionSettings
from device.spectrometers.settings import SpectrometerSettings
from device.textfile import TextFileSettings
from specnet.configuration import load_configuration
from specnet.errors import ConfigurationError, WireError
from specnet.handover import OWN_POINT, usual_split
from specnet.manifest import Manifest
from specnet.mqtt import BrokerSettings
from specnet.ranges import check_range
from specnet.wire import Topics

ENVIRONMENT_PREFIX = "SPECNET_DEVICE"


class UplinkSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table ``[uplink]``.

    Parameters
    ----------
    window
        Requests that are under way at once.
    retry_s, retry_max_s
        An unanswered request is sent again after `retry_s` seconds, then after twice that, and so on up to
        `retry_max_s`; each pause is shortened by up to half at random.
    deadline_s
        Without a result after this many seconds the device's own answer is given out as provisional.
    audit_rate
        Share of confident local answers that the gateway checks, 0 to 1.
    answers
        Whether every answer is published for whoever wants to know; it takes some 170 bytes, more than most requests.
    drain_s
        How long to wait for results at the end, in seconds.
    """

    window: int = 16
    retry_s: float = 2.0
    retry_max_s: float = 10.0
    deadline_s: float = 2.0
    audit_rate: float = 0.0
    answers: bool = True
    drain_s: float = 30.0

    def __post_init__(self) -> None:
        check_range("uplink.window", self.window, 1, 1000)
        check_range("uplink.retry_s", self.retry_s, 0.05, 3600.0)
        check_range("uplink.retry_max_s", self.retry_max_s, self.retry_s, 86_400.0)
        check_range("uplink.deadline_s", self.deadline_s, 0.001, 86_400.0)
        check_range("uplink.audit_rate", self.audit_rate, 0.0, 1.0)
        check_range("uplink.drain_s", self.drain_s, 0.0, 86_400.0)


class DeviceConfiguration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that `specnet-device` must know.

    Parameters
    ----------
    site, device
        Names in the topics.
    bundle
        Path of the model that the device comes with; an update that was activated is used instead.
    state_dir
        Folder for what must survive a restart.
    split
        Segments 0..split run here; the number of the bundle's stages means all of them. None takes what tuning chose
        for the operating point, and 1 where the bundle was not tuned.
    operating_point
        Out of the bundle, with its split and codec where `split` is None; ``default`` is the bundle's own, ``auto``
        lets the node choose by what it measures.
    threads
        Threads of one segment call.
    stop_at_end
        Finish when a replayed recording is over; a real instrument never is.
    seed
        Of the choice of audit samples and of the jitter of retries; None takes it from the system.
    spectrometer, broker, acquisition, outbox, history, uplink, choosing, models, textfile
        Tables of their own.
    """

    device: str
    bundle: str
    state_dir: str
    site: str = "default"
    split: int | None = None
    operating_point: str = OWN_POINT
    threads: int = 1
    stop_at_end: bool = True
    seed: int | None = None
    spectrometer: SpectrometerSettings = msgspec.field(default_factory=SpectrometerSettings)
    broker: BrokerSettings = msgspec.field(default_factory=BrokerSettings)
    acquisition: AcquisitionSettings = msgspec.field(default_factory=AcquisitionSettings)
    outbox: OutboxSettings = msgspec.field(default_factory=OutboxSettings)
    history: HistorySettings = msgspec.field(default_factory=HistorySettings)
    uplink: UplinkSettings = msgspec.field(default_factory=UplinkSettings)
    choosing: ChoosingSettings = msgspec.field(default_factory=ChoosingSettings)
    models: ModelSettings = msgspec.field(default_factory=ModelSettings)
    textfile: TextFileSettings = msgspec.field(default_factory=TextFileSettings)

    def __post_init__(self) -> None:
        try:
            Topics(self.site, self.device)
        except WireError as error:
            raise ConfigurationError(str(error)) from error
        check_range("split", self.split or 0, 0, 63)
        check_range("threads", self.threads, 1, 64)
        if self.operating_point == AUTO and self.split is not None:
            raise ConfigurationError(
                f"operating_point = {AUTO!r} chooses the split too: leave out split, got {self.split}"
            )

    def split_of(self, manifest: Manifest) -> int:
        """Where to split with a bundle."""
        name = OWN_POINT if self.operating_point == AUTO else self.operating_point
        return usual_split(manifest, name) if self.split is None else self.split

    def deepest_of(self, manifest: Manifest) -> int | None:
        """Last segment to make ready for the points of a bundle; None where the split is given."""
        return deepest_split(manifest, self.choosing.max_model_bytes) if self.split is None else None

    @property
    def topics(self) -> Topics:
        """Topics of this device."""
        return Topics(self.site, self.device)

    @property
    def journal_path(self) -> Path:
        """Database of spectra, answers and pending requests.

        The device is part of its name, because a result comes only to the one that asked.
        """
        return Path(self.state_dir) / f"outbox-{self.site}-{self.device}.sqlite"


def load_device_configuration(
    path: Path | None, overrides: Mapping[str, Any] | None = None, environment: Mapping[str, str] | None = None
) -> DeviceConfiguration:
    """Read the configuration; relative paths in it are as the process sees them.

    Parameters
    ----------
    path
        TOML file; None when everything comes from the environment and options.
    overrides
        Dotted keys to values, from the command line.
    environment
        The process's own when None.

    Raises
    ------
    ConfigurationError
        Naming source, key, what was found and what was expected.
    """
    return load_configuration(
        DeviceConfiguration,
        path,
        environment=os.environ if environment is None else environment,
        prefix=ENVIRONMENT_PREFIX,
        overrides=overrides or {},
    )
