"""The operating point of a running node: measures, asks who chooses, changes the classifier, and says so everywhere."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec
from numpy.typing import ArrayLike

from device.choosing.chooser import Chooser, FixedPoint, PointChooser
from device.choosing.energy import EnergyMeter, read_watts
from device.choosing.energy_day import keep_day, recall_day
from device.choosing.measurements import Measurements
from device.choosing.settings import AUTO
from device.choosing.table import DecisionTable, table_of
from device.classifier import LocalAnswer, LocalClassifier, Rejection
from device.config import DeviceConfiguration
from device.journal import Journal
from device.offloading import RequestMaker
from device.outbox import Outbox
from device.uplink import Uplink
from specnet.errors import CodecError, ConfigurationError, MessageTooLargeError
from specnet.handover import CHOSEN
from specnet.manifest import Manifest
from specnet.wire import PointInForce

logger = logging.getLogger(__name__)

MEASURE_EVERY_S = 1.0
MEASURES_A_DWELL = 4


class Steering:
    """Keeps the classifier at the operating point of a chooser.

    Everything but `obey` is called where spectra are classified, and a point changes between two spectra, also when a
    person has named it: requests under way keep the split and codec that they were made with.

    Parameters
    ----------
    configuration
        With the point, or ``auto``.
    classifier
        Is told the point.
    maker, uplink, outbox
        Send probes, and are measured.
    journal
        Keeps what was spent of the day's energy; open until after `close`.
    tell
        Takes the records: ``tell(sequence, **details)``.

    Raises
    ------
    ConfigurationError
        When the bundle has no such point, or nothing to choose by.
    """

    def __init__(
        self,
        configuration: DeviceConfiguration,
        classifier: LocalClassifier,
        maker: RequestMaker,
        uplink: Uplink,
        outbox: Outbox,
        journal: Journal,
        tell: Callable[..., None],
    ) -> None:
        self._configuration, self._settings = configuration, configuration.choosing
        self._classifier, self._maker, self._uplink, self._outbox, self._tell = classifier, maker, uplink, outbox, tell
        self._journal = journal
        self._lock = threading.Lock()
        self._sequence = 0
        self._ordered: tuple[Chooser, str] | None = None
        now = time.monotonic()
        watts = read_watts(self._settings.daily_joules, self._settings.device_profile, self._settings.link_profile)
        self._meter = EnergyMeter(self._settings.daily_joules, *watts, recall_day(journal))
        self._counted = 0, 0
        self._measured = self._probed = now
        self.counters: Counter[str] = Counter()
        self._chooser = self._chooser_for(configuration.operating_point, now)
        classifier.use_operating_point(self._chooser.point)
        uplink.stand(self._standing("configured"))

    @property
    def point(self) -> str:
        """The operating point in force."""
        return self._chooser.point

    def before(self, sequence: int) -> None:
        """Choose for the spectrum that is to come, when there are new figures."""
        with self._lock:
            self._sequence = sequence
            now = time.monotonic()
            if self._ordered is not None:
                previous, (self._chooser, why), self._ordered = self.point, self._ordered, None
                self._put_in_force(previous, why, self._measure(now), commanded=True)
                return
            if now - self._measured < min(MEASURE_EVERY_S, self._settings.dwell_s / MEASURES_A_DWELL):
                return
            self._measured = now
            previous, measured = self.point, self._measure(now)
            if why := self._chooser.decide(now, measured):
                self.counters["changes"] += 1
                self._put_in_force(previous, why, measured, commanded=False)

    def judged(self, answer: LocalAnswer | Rejection) -> None:
        """Count a spectrum, and what it took."""
        self._uplink.link.spectrum(time.monotonic())
        if isinstance(answer, LocalAnswer):
            self._meter.computed(answer.total_us)
            self.counters[f"spectra_at_{self.point}"] += 1

    def probe(self, sequence: int, counts: ArrayLike, answer: LocalAnswer, acquired: float) -> bool:
        """Send a spectrum that has its answer as an audit sample, when a preferred point needs to know the link."""
        row, now, link = self._chooser.probed, time.monotonic(), self._uplink.link
        if row is None or not self._uplink.connected or link.waits_for_something:
            return False
        if now - max(self._probed, link.last_trip) < self._settings.probe_s:
            return False
        self._probed = now
        sample = self._classifier.hand_over(counts, row.split, row.codec)
        if isinstance(sample, Rejection):
            return False
        try:
            request, topic, payload = self._maker.make(sequence, sample, acquired, audit=True)
        except (CodecError, MessageTooLargeError) as error:
            logger.warning("spectrum %d cannot be sent as a probe: %s", sequence, error)
            return False
        self.counters["probes"] += 1
        # what the gateway says is compared with the answer that was given
        self._uplink.audit(msgspec.structs.replace(request, label=answer.label), topic, payload)
        return True

    def obey(self, point: str) -> None:
        """Take the point that a person has named, or choose again (``auto``), from the next spectrum on.

        Raises
        ------
        ConfigurationError
            When the bundle has no such point, or nothing to choose by; then nothing changes.
        """
        chooser = self._chooser_for(point, time.monotonic())
        self._classifier.check_operating_point(chooser.point)
        with self._lock:
            self._ordered = chooser, f"commanded: {point}"
            self.counters["commanded"] += 1

    def close(self) -> None:
        """Keep what was spent for the next start."""
        with self._lock:
            self._energy_left()

    def _chooser_for(self, point: str, now: float) -> Chooser:
        if point != AUTO:
            return FixedPoint(point)
        table = decision_table(self._configuration, self._classifier.bundle.manifest)
        return PointChooser(table, self._settings.dwell_s, self._settings.dwell_max_s, now)

    def _put_in_force(self, previous: str, why: str, measured: Measurements, *, commanded: bool) -> None:
        """Change the classifier and say so."""
        self._classifier.use_operating_point(self.point)
        self._uplink.link.start_anew()
        self._meter.start_anew()
        logger.warning("operating point %s in place of %s: %s", self.point, previous, why)
        details: dict[str, Any] = {"point": self.point, "previous": previous, "split": self._classifier.split}
        self._tell(self._sequence, **details, why=why, commanded=commanded, measured=measured.to_dict())
        self._uplink.stand(self._standing(why))

    def _standing(self, why: str) -> str:
        return PointInForce(self.point, self._sequence, datetime.now(UTC), why).to_reason()

    def _measure(self, now: float) -> Measurements:
        left_j, left_s = self._energy_left()
        measured = self._uplink.link.measure(
            now, self._settings.window_s, len(self._outbox), self._uplink.connected, self._expected_ms
        )
        return replace(
            measured, energy_left_j=left_j, energy_left_s=left_s, mj_per_spectrum=self._meter.mj_per_spectrum
        )

    def _energy_left(self) -> tuple[float | None, float]:
        """Count what was sent meanwhile, keep the day, and return the joules and seconds that are left of it."""
        link = self._uplink.link
        messages, n_bytes = link.sent_messages, link.sent_bytes
        self._meter.transmitted(messages - self._counted[0], n_bytes - self._counted[1])
        self._counted = messages, n_bytes
        left = self._meter.left(self._journal.age())
        if self._settings.daily_joules:
            keep_day(self._journal, self._meter.day)
        return left

    def _expected_ms(self, n_bytes: float) -> float:
        """Milliseconds of a round trip by tuning; where the bundle says nothing of that, what is never slow."""
        chosen = self._classifier.bundle.manifest.placements.get(CHOSEN)
        if chosen is None or chosen.predicted is None:
            return max(1.0, self._settings.patience_ms)
        return chosen.predicted.link.trip_ms(n_bytes)


def decision_table(configuration: DeviceConfiguration, manifest: Manifest) -> DecisionTable:
    """Make the table that a node chooses by.

    Raises
    ------
    ConfigurationError
        When the split is given, or the bundle does not say what its points take.
    """
    deepest = configuration.deepest_of(manifest)
    if deepest is None:
        raise ConfigurationError(
            f"operating point {AUTO!r} chooses the split too: leave out split, got {configuration.split}"
        )
    uplink, settings = configuration.uplink, configuration.choosing
    return table_of(manifest, deepest, uplink.window, uplink.deadline_s, settings.patience_ms, settings.dwell_s)
