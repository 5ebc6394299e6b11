"""The service: spectrometer -> classifier -> answer, or outbox -> gateway -> answer."""

from __future__ import annotations

import logging
import random
import sqlite3
import threading
import time
from contextlib import ExitStack
from importlib import metadata
from typing import Any, TextIO

from numpy.typing import NDArray

from device.acquisition import Acquisition
from device.classifier import LocalAnswer, LocalClassifier, Rejection
from device.config import DeviceConfiguration
from device.offloading import RequestMaker
from device.outbox import Outbox
from device.records import RecordWriter
from device.reporter import Reporter
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


class DeviceService:
    """One device from start to stop.

    Parameters
    ----------
    configuration
        Everything.
    stream
        Takes the records, one JSON document a line.
    stopped
        Set from outside to end; set by the service itself when nobody reads the records.

    Raises
    ------
    ConfigurationError
        When bundle, split, axis, operating point or outbox do not fit.
    BundleError
        When the bundle cannot be used.
    AxisError
        When the spectrometer does not cover the model's axis.
    """

    def __init__(self, configuration: DeviceConfiguration, stream: TextIO, stopped: threading.Event) -> None:
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
            bounds = configuration.outbox
            self._outbox = Outbox(
                configuration.outbox_path, max_bytes=bounds.max_bytes, max_requests=bounds.max_requests
            )
            undo.callback(self._outbox.close)
            self._connect(bundle, spectrometer)
            undo.pop_all()

    def _connect(self, bundle: Bundle, spectrometer: Spectrometer) -> None:
        """Wire the parts that need the boot number."""
        configuration, manifest, boot = self._configuration, bundle.manifest, self._outbox.boot
        topics = configuration.topics
        max_bytes = min(MAX_PAYLOAD_BYTES, configuration.broker.max_payload_bytes)
        self._maker = RequestMaker(topics, boot, bundle, configuration.uplink.deadline_s, max_bytes)
        self._reporter = Reporter(topics.device, boot, bundle.bundle_id, manifest.classes, self._writer, self._obey)
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
        self._uplink.start()
        self._reporter.ready(port=self._configuration.spectrometer.port, pending=pending)
        sequence = 0
        try:
            while count == 0 or sequence < count:
                counts = self._acquisition.read()
                if counts is None:
                    break
                self._judge(sequence, counts)
                sequence += 1
            self._drain()
        finally:
            self._close(sequence)
        return len(self._outbox)

    def _judge(self, sequence: int, counts: NDArray[Any]) -> None:
        acquired = time.monotonic()
        answer = self._classifier.classify(counts)
        if isinstance(answer, Rejection):
            self._reporter.rejected(sequence, answer.reason)
        elif answer.confident:
            self._reporter.local(sequence, answer, acquired, [])
            self._audit(sequence, answer, acquired)
        else:
            self._offload(sequence, answer, acquired)

    def _offload(self, sequence: int, answer: LocalAnswer, acquired: float) -> None:
        """Ask the gateway; when that is impossible, the device's own answer is final and flagged."""
        try:
            self._uplink.submit(*self._maker.make(sequence, answer, acquired))
        except (CodecError, MessageTooLargeError, sqlite3.Error) as error:
            self._reporter.counters["not_offloaded"] += 1
            logger.error("spectrum %d cannot be sent to the gateway: %s", sequence, error)
            self._reporter.local(sequence, answer, acquired, ["not_offloaded"])

    def _audit(self, sequence: int, answer: LocalAnswer, acquired: float) -> None:
        if answer.features is None or self._generator.random() >= self._audit_rate:
            return
        try:
            request, topic, payload = self._maker.make(sequence, answer, acquired, audit=True)
        except (CodecError, MessageTooLargeError) as error:
            logger.warning("spectrum %d cannot be audited: %s", sequence, error)
            return
        self._uplink.audit(request.key, answer.label, topic, payload)

    def _obey(self, command: Command) -> None:
        if command.operating_point is not None:
            self._classifier.use_operating_point(command.operating_point)
        if command.audit_rate is not None:
            self._audit_rate = command.audit_rate

    def _drain(self) -> None:
        """Wait for results: as long as configured, but not when somebody wants the service to end."""
        if not self._stopped.is_set():
            self._uplink.wait_until_empty(self._configuration.uplink.drain_s, self._stopped.is_set)
        if self._stopped.is_set():
            patience = min(self._configuration.uplink.drain_s, DRAIN_AFTER_STOP_S)
            self._uplink.wait_until_empty(patience, lambda: not self._uplink.connected)

    def _close(self, spectra: int) -> None:
        self._acquisition.close()
        self._uplink.stop()
        self._reporter.summary(
            len(self._outbox),
            spectra=spectra,
            not_offloaded=self._reporter.counters["not_offloaded"],
            spectrometer=dict(self._acquisition.counters),
            uplink=dict(self._uplink.counters),
        )
        self._outbox.close()


def software_version() -> str:
    """Name and version of the software, as devices announce it."""
    try:
        return f"{DISTRIBUTION} {metadata.version(DISTRIBUTION)}"
    except metadata.PackageNotFoundError:
        return f"{DISTRIBUTION} (not installed)"
