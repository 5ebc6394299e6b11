"""Metrics as a file for the textfile collector of Prometheus' node exporter; there is no port to open or protect."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from device.exposition import Family, one, render
from specnet.errors import ConfigurationError
from specnet.files import write_bytes

logger = logging.getLogger(__name__)

ANSWER_COUNTERS = {"local": "device", "gateway": "gateway", "gateway_errors": "device_after_gateway_error"}
PREFIX = "specnet_device_"


class TextFileSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table ``[textfile]``: metrics for Prometheus' node exporter.

    Parameters
    ----------
    path
        File to write, such as ``/var/lib/node_exporter/specnet.prom``; the collector wants the ending ``.prom``. Empty
        writes none.
    interval_s
        Pause between two writings, in seconds.

    Raises
    ------
    ConfigurationError
        When the ending is another or the pause out of range.
    """

    path: str = ""
    interval_s: float = 15.0

    def __post_init__(self) -> None:
        if self.path and not self.path.endswith(".prom"):
            raise ConfigurationError(f"textfile.path ends in .prom, got {self.path[:120]!r}")
        # written so that NaN fails too
        if not 0.1 <= self.interval_s <= 86_400.0:
            raise ConfigurationError(f"textfile.interval_s is from 0.1 to 86400, got {self.interval_s}")


@dataclass(frozen=True)
class Snapshot:
    """What the service knows of itself at one moment.

    Parameters
    ----------
    boot, started
        Number of this start, and its time in seconds since 1970 as far as the clock is right.
    connected
        Whether the broker is there.
    waiting, waiting_bytes
        Requests in the outbox, and the size of their payloads.
    answers, spectrometer, uplink, models
        Counters by event, as the summary has them.
    model
        Labels of the model in use: name, version, bundle, stage.
    """

    boot: int
    started: float
    connected: bool
    waiting: int
    waiting_bytes: int
    answers: Mapping[str, int]
    spectrometer: Mapping[str, int]
    uplink: Mapping[str, int]
    models: Mapping[str, int]
    model: Mapping[str, str]


def families(snapshot: Snapshot) -> list[Family]:
    """Metric families of a snapshot; counters begin at 0 with each boot."""
    answers = snapshot.answers
    return [
        one(f"{PREFIX}boot", "gauge", "Number of this start of the device.", snapshot.boot),
        one(f"{PREFIX}start_time_seconds", "gauge", "When it started, in seconds since 1970.", snapshot.started),
        one(f"{PREFIX}connected", "gauge", "1 while the broker is there.", float(snapshot.connected)),
        one(f"{PREFIX}outbox_requests", "gauge", "Requests that wait for their result.", snapshot.waiting),
        one(f"{PREFIX}outbox_bytes", "gauge", "Size of their payloads.", snapshot.waiting_bytes),
        Family(
            f"{PREFIX}answers_total",
            "counter",
            "Final answers by who found them.",
            tuple(({"source": source}, answers.get(name, 0)) for name, source in ANSWER_COUNTERS.items()),
        ),
        one(f"{PREFIX}rejected_total", "counter", "Spectra that could not be judged.", answers.get("rejected", 0)),
        one(f"{PREFIX}provisional_total", "counter", "Deadlines without a result.", answers.get("provisional", 0)),
        one(f"{PREFIX}dropped_total", "counter", "Requests that were given up.", answers.get("dropped", 0)),
        _events("spectrometer", "Events of the spectrometer.", snapshot.spectrometer),
        _events("uplink", "Events of the way to the gateway.", snapshot.uplink),
        _events("models", "Events of model updates.", snapshot.models),
        Family(f"{PREFIX}model_info", "gauge", "The model in use.", ((dict(snapshot.model), 1),)),
    ]


def _events(what: str, help_text: str, counters: Mapping[str, int]) -> Family:
    samples = tuple(({"event": event}, n) for event, n in sorted(counters.items()))
    return Family(f"{PREFIX}{what}_events_total", "counter", help_text, samples)


class TextFile:
    """The file, written from time to time; a disk that does not take it costs a line in the log.

    Parameters
    ----------
    settings
        Where and how often.
    """

    def __init__(self, settings: TextFileSettings) -> None:
        self._path = Path(settings.path) if settings.path else None
        self._interval_s = settings.interval_s
        self._due = 0.0
        self._complained = False

    @property
    def due(self) -> bool:
        """Whether it is time to write."""
        return self._path is not None and time.monotonic() >= self._due

    def write(self, snapshot: Snapshot) -> None:
        """Replace the file atomically: the collector never reads half of it."""
        if self._path is None:
            return
        self._due = time.monotonic() + self._interval_s
        try:
            write_bytes(self._path, render(families(snapshot)).encode())
        except OSError as error:
            if not self._complained:
                logger.warning("metrics cannot be written to %s: %s", self._path, error.strerror)
            self._complained = True
        else:
            self._complained = False
