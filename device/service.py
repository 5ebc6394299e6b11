"""The service: spectrometer -> journal -> classifier -> answer, or outbox -> gateway -> answer."""

from __future__ import annotations

import logging
import random
import sqlite3
import threading
from contextlib import ExitStack
from dataclasses import asdict
from importlib import metadata
from typing import TextIO

from device.acquisition import Acquisition
from device.classifier import LocalAnswer, LocalClassifier, Rejection
from device.config import DeviceConfiguration
from device.journal import Journal, Spectrum
from device.journal.keeper import Keeper
from device.offloading import RequestMaker
from device.outbox import Outbox
from device.read_ahead import Accepted, ReadAhead
from device.records import RecordWriter
from device.reporter import OnAnswer, Reporter
from device.results import ResultChecker
from device.spectrometers import Spectrometer, create_spectrometer
from device.spectrometers.axis import resolve_axis
from device.uplink import Uplink
from specnet.bundle import Bundle, read_bundle
from specnet.errors import CodecError, MessageTooLargeError
from specnet.wire import MAX_PAYLOAD_BYTES, Birth, Command

logger = logging.getLogger(__name__)

DISTRIBUTION = "specnet-edge"
DRAIN_AFTER_STOP_S = 2.0
MAX_TEXT = 500
UNUSABLE = ("saturated", "low_signal")
"""Flags of a spectrum that is rejected without being judged."""


class DeviceService:
    """One device from start to stop.

    A program of your own may run it and take the answers as they come::

        stopped = threading.Event()
        service = DeviceService(configuration, open(os.devnull, "w"), stopped, on_answer=print)
        service.run(count=10)

    Parameters
    ----------
    configuration
        Everything.
    stream
        Takes the records, one JSON document a line.
    stopped
        Set from outside to end; set by the service itself when nobody reads the records.
    on_answer
        Called with each record of an answer, a provisional answer, a rejection, a drop or a loss, from whatever thread
        it happens in; it must not wait. After a crash it may get an answer twice, with the same ``boot`` and
        ``sequence``.

    Raises
    ------
    ConfigurationError
        When bundle, split, axis, operating point or journal do not fit.
    BundleError
        When the bundle cannot be used.
    AxisError
        When the spectrometer does not cover the model's axis.
    """

    def __init__(
        self,
        configuration: DeviceConfiguration,
        stream: TextIO,
        stopped: threading.Event,
        on_answer: OnAnswer | None = None,
    ) -> None:
        self._configuration = configuration
        self._stopped = stopped
        self._generator = random.Random(configuration.seed)
        self._audit_rate = configuration.uplink.audit_rate
        settings = configuration.spectrometer
        bundle = read_bundle(configuration.bundle)
        pixels = resolve_axis(settings, bundle.source_axis)
        self._split = configuration.split_of(bundle.manifest)
        self._classifier = LocalClassifier(
            bundle, pixels, self._split, full_scale=settings.full_scale, threads=configuration.threads
        )
        self._classifier.use_operating_point(configuration.operating_point)
        spectrometer = create_spectrometer(settings, pixels.n_points)
        self._acquisition = Acquisition(
            spectrometer,
            interval_s=settings.interval_s,
            stop_at_end=configuration.stop_at_end,
            stopped=stopped,
            generator=self._generator,
        )
        self._writer = RecordWriter(stream, stopped.set)
        with ExitStack() as undo:
            self._journal = Journal(configuration.journal_path, configuration.outbox, configuration.history)
            undo.callback(self._journal.close)
            self._outbox = Outbox(self._journal, configuration.outbox)
            self._keeper = Keeper(self._journal)
            self._connect(bundle, spectrometer, on_answer)
            undo.pop_all()
        self._read_ahead = ReadAhead(self._acquisition.read, self._record, self._drop_unread, configuration.acquisition)

    def _connect(self, bundle: Bundle, spectrometer: Spectrometer, on_answer: OnAnswer | None) -> None:
        """Wire the parts that need the boot number."""
        configuration, manifest, boot = self._configuration, bundle.manifest, self._journal.boot
        topics = configuration.topics
        max_bytes = min(MAX_PAYLOAD_BYTES, configuration.broker.max_payload_bytes)
        self._maker = RequestMaker(topics, boot, bundle, configuration.uplink.deadline_s, max_bytes)
        self._reporter = Reporter(
            topics.device, bundle.bundle_id, manifest.classes, self._journal, self._writer, self._obey, on_answer
        )
        splits = tuple(range(min(self._split + 1, manifest.n_stages)))
        birth = Birth(
            device=topics.device,
            boot=boot,
            bundles=(bundle.bundle_id,),
            splits=splits,
            codecs=tuple(dict.fromkeys(manifest.codecs[str(split)] for split in splits)),
            spectrometer=f"{spectrometer.model} {spectrometer.serial_number}"[:MAX_TEXT],
            software=software_version(),
        )
        self._uplink = Uplink(
            configuration.uplink,
            configuration.broker,
            topics,
            self._outbox,
            birth,
            ResultChecker(topics.device, bundle.bundle_id, len(manifest.classes)),
            self._reporter,
            random.Random(self._generator.random()),
        )
        if self._configuration.uplink.answers:
            self._reporter.announce = self._uplink.announce

    @property
    def records_lost(self) -> int:
        """Records that nobody read."""
        return self._writer.lost

    def run(self, count: int = 0) -> int:
        """Work until `count` spectra are judged (0: no limit), a replay is over, or the service is stopped.

        Returns
        -------
        int
            Number of requests that are still without a final answer; they wait in the outbox for the next start.
        """
        pending = len(self._outbox)
        self._keeper.start()
        self._uplink.start()
        self._reporter.ready(port=self._configuration.spectrometer.port, pending=pending)
        self._read_ahead.start(count)
        spectra = 0
        try:
            for accepted in self._read_ahead:
                self._judge(accepted)
                spectra += 1
            self._drain()
        finally:
            pending = self._close(spectra)
        return pending

    def _record(self, accepted: Accepted) -> None:
        """Write a spectrum down; in the acquisition's thread."""
        self._journal.record(
            Spectrum(
                boot=self._journal.boot,
                sequence=accepted.sequence,
                acquired=self._journal.clock.wall(),
                monotonic=accepted.acquired,
                flags=accepted.flags,
            )
        )

    def _drop_unread(self, accepted: Accepted) -> None:
        self._reporter.dropped_unread(accepted.sequence, "not judged before newer ones came", accepted.flags)

    def _judge(self, accepted: Accepted) -> None:
        sequence, counts, flags, acquired = accepted
        if unusable := [flag for flag in flags if flag in UNUSABLE]:
            self._reporter.rejected(sequence, f"the spectrum is flagged {' and '.join(unusable)}", flags)
            return
        answer = self._classifier.classify(counts)
        if isinstance(answer, Rejection):
            self._reporter.rejected(sequence, answer.reason, flags)
        elif answer.confident:
            self._reporter.local(sequence, answer, acquired, flags)
            self._audit(sequence, answer, acquired)
        else:
            self._offload(accepted, answer)

    def _offload(self, accepted: Accepted, answer: LocalAnswer) -> None:
        """Ask the gateway; when that is impossible, the device's own answer is final and flagged."""
        sequence, _, flags, acquired = accepted
        try:
            self._uplink.submit(*self._maker.make(sequence, answer, acquired, flags))
        except (CodecError, MessageTooLargeError, sqlite3.Error) as error:
            self._reporter.counters["not_offloaded"] += 1
            if not self._journal.failing:
                logger.error("spectrum %d cannot be sent to the gateway: %s", sequence, error)
            self._reporter.local(sequence, answer, acquired, (*flags, "not_offloaded"))

    def _audit(self, sequence: int, answer: LocalAnswer, acquired: float) -> None:
        if answer.features is None or self._generator.random() >= self._audit_rate:
            return
        try:
            request, topic, payload = self._maker.make(sequence, answer, acquired, audit=True)
        except (CodecError, MessageTooLargeError) as error:
            logger.warning("spectrum %d cannot be audited: %s", sequence, error)
            return
        self._uplink.audit(request, topic, payload)

    def _obey(self, command: Command) -> None:
        if command.operating_point is not None:
            self._classifier.use_operating_point(command.operating_point)
        if command.audit_rate is not None:
            self._audit_rate = command.audit_rate
        if command.restart_acquisition is True:
            self._acquisition.restart()

    def _drain(self) -> None:
        """Wait for results: as long as configured, but not when somebody wants the service to end."""
        if not self._stopped.is_set():
            self._uplink.wait_until_empty(self._configuration.uplink.drain_s, self._stopped.is_set)
        if self._stopped.is_set():
            patience = min(self._configuration.uplink.drain_s, DRAIN_AFTER_STOP_S)
            self._uplink.wait_until_empty(patience, lambda: not self._uplink.connected)

    def _close(self, spectra: int) -> int:
        """End everything; returns how many requests are still pending."""
        # on the way of an exception the acquisition still runs
        self._stopped.set()
        self._read_ahead.stop()
        self._acquisition.close()
        self._uplink.stop()
        self._keeper.stop()
        pending = len(self._outbox)
        self._reporter.summary(
            pending,
            spectra=spectra,
            not_offloaded=self._reporter.counters["not_offloaded"],
            spectrometer=dict(self._acquisition.counters),
            acquisition=dict(self._read_ahead.counters),
            uplink=dict(self._uplink.counters),
            journal=dict(self._journal.counters),
            accounts=asdict(self._journal.accounts()),
        )
        self._journal.close()
        return pending


def software_version() -> str:
    """Name and version of the software, as devices announce it."""
    try:
        return f"{DISTRIBUTION} {metadata.version(DISTRIBUTION)}"
    except metadata.PackageNotFoundError:
        return f"{DISTRIBUTION} (not installed)"
