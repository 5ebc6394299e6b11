"""The service: spectrometer -> journal -> classifier -> answer, or outbox -> gateway -> answer."""

from __future__ import annotations

import logging
import random
import sqlite3
import threading
import time
from contextlib import ExitStack
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import TextIO

from device.acquisition import Acquisition
from device.choosing.steering import Steering
from device.classifier import LocalAnswer, LocalClassifier, Rejection
from device.config import DeviceConfiguration
from device.journal import Journal, Spectrum
from device.journal.keeper import Keeper
from device.models.news import News
from device.models.starting import open_model
from device.models.store import ModelStore
from device.models.trial import ModelTrial
from device.models.updater import ModelUpdater
from device.offloading import RequestMaker
from device.outbox import Outbox
from device.read_ahead import Accepted, ReadAhead
from device.records import RecordWriter
from device.reporter import OnAnswer, Reporter
from device.results import ResultChecker
from device.spectrometers.axis import resolve_axis
from device.spectrometers.instrument import Instrument, create_instrument
from device.textfile import Snapshot, TextFile
from device.uplink import Uplink
from specnet.bundle import Bundle
from specnet.errors import CodecError, MessageTooLargeError
from specnet.handover import codecs_in_use
from specnet.systemd import Notifier, Watchdog
from specnet.upkeep import PERIOD_S, Upkeep
from specnet.wire import MAX_PAYLOAD_BYTES, Birth, Command
from specnet.wire.messages import MAX_TEXT

logger = logging.getLogger(__name__)

DISTRIBUTION = "specnet-edge"
DRAIN_AFTER_STOP_S = 2.0
MARGIN_S = 30.0
"""What the main loop may take besides exposure and time-outs: reopening the instrument, a slow disk, a busy machine."""


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
        Set from outside to end; set by the service itself when nobody reads the records, or when another model was
        activated.
    on_answer
        Called with each record of an answer, a provisional answer, a rejection, a drop or a loss, from whatever thread
        it happens in; it must not wait. After a crash it may get an answer twice, with the same ``boot`` and
        ``sequence``.
    notifier
        Tells the service manager; systemd's, where it has started this process, by default.

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
        notifier: Notifier | None = None,
    ) -> None:
        self._configuration = configuration
        self._stopped = stopped
        self._notifier = notifier or Notifier()
        self._watchdog = Watchdog(self._notifier)
        self._started = time.time()
        self.spectra = 0
        """Spectra that were judged so far."""
        self.replaced = False
        """Whether another model was activated: whoever runs the service starts it again."""
        self._generator = random.Random(configuration.seed)
        self._audit_rate = configuration.uplink.audit_rate
        with ExitStack() as undo:
            # first, because it keeps a second process out, whose start must not count against a model on trial
            self._journal = Journal(configuration.journal_path, configuration.outbox, configuration.history)
            undo.callback(self._journal.close)
            self._outbox = Outbox(self._journal, configuration.outbox)
            self._keeper = Keeper(self._journal)
            self._store = ModelStore(configuration.state_dir, keep=configuration.models.keep)
            self._opened = open_model(self._store, Path(configuration.bundle))
            self._trial = ModelTrial(self._store, self._opened, configuration.models.confirm_after)
            bundle = self._opened.bundle
            instrument = self._equip(bundle)
            bundle.release()
            self._connect(bundle, instrument, RecordWriter(stream, stopped.set), on_answer)
            undo.pop_all()

    def _equip(self, bundle: Bundle) -> Instrument:
        """Make what judges and reads spectra."""
        configuration, settings = self._configuration, self._configuration.spectrometer
        pixels = resolve_axis(settings, bundle.source_axis)
        self._split = configuration.split_of(bundle.manifest)
        self._classifier = LocalClassifier(
            bundle,
            pixels,
            self._split,
            deepest=configuration.deepest_of(bundle.manifest),
            threads=configuration.threads,
        )
        instrument = create_instrument(settings, pixels.n_points, configuration.state_dir, pixels.wavelengths)
        self._acquisition = Acquisition(
            instrument,
            interval_s=settings.interval_s,
            stop_at_end=configuration.stop_at_end,
            stopped=self._stopped,
            generator=self._generator,
        )
        self._read_ahead = ReadAhead(self._acquisition.read, self._record, self._drop_unread, configuration.acquisition)
        scans_s = settings.scans * (settings.integration_time_s + 2 * settings.timeout_s)
        self._turn_s = settings.interval_s + scans_s + MARGIN_S
        self._acquisition.on_turn = self._acquires
        return instrument

    def _connect(
        self, bundle: Bundle, spectrometer: Instrument, writer: RecordWriter, on_answer: OnAnswer | None
    ) -> None:
        """Wire the parts that need the boot number."""
        configuration, manifest, boot = self._configuration, bundle.manifest, self._journal.boot
        topics = configuration.topics
        max_bytes = min(MAX_PAYLOAD_BYTES, configuration.broker.max_payload_bytes)
        self._maker = RequestMaker(topics, boot, bundle, configuration.uplink.deadline_s, max_bytes)
        self._writer = writer
        self._reporter = Reporter(
            topics.device, bundle.bundle_id, manifest.classes, self._journal, self._writer, self._obey, on_answer
        )
        deepest = max(self._split, configuration.deepest_of(manifest) or 0)
        splits = tuple(range(min(deepest + 1, manifest.n_stages)))
        birth = Birth(
            device=topics.device,
            boot=boot,
            bundles=(bundle.bundle_id,),
            splits=splits,
            codecs=codecs_in_use(manifest, splits),
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
        self._steering = Steering(
            configuration,
            self._classifier,
            self._maker,
            self._uplink,
            self._outbox,
            self._journal,
            self._reporter.operating_point,
        )
        self._news = News(
            topics.device,
            boot,
            self._opened,
            self._reporter.model,
            lambda payload: self._uplink.publish(topics.model_state, payload, retain=True),
        )
        self._uplink.when_connected(self._news.renew)
        self._updater: ModelUpdater | None = None
        if ModelUpdater.wanted(configuration):
            self._updater = ModelUpdater(configuration, self._store, self._opened, self._uplink.publish, self._news)
            for topic, handler in self._updater.routes.items():
                self._uplink.route(topic, handler)
        self._textfile = TextFile(configuration.textfile)
        tick_s = min(PERIOD_S, self._watchdog.interval_s / 4 or PERIOD_S)
        self._upkeep = Upkeep(
            (self._watchdog.tend, self._look_for_another_model, self._write_metrics, self._news.send), tick_s
        )

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
        self._start(pending)
        self._read_ahead.start(count)
        try:
            for accepted in self._read_ahead:
                self._judge(accepted)
                self.spectra += 1
            if not self.replaced:
                self._notifier.stopping()
            self._watchdog.back_within(self._configuration.uplink.drain_s + MARGIN_S)
            self._drain()
            # not when something was raised: that is a crash, and counts against a model on trial
            self._trial.ended()
        finally:
            pending = self._close()
        return pending

    def _start(self, pending: int) -> None:
        self._watchdog.back_within(MARGIN_S)
        self._keeper.start()
        self._uplink.start()
        if self._updater is not None:
            self._updater.start()
        self._upkeep.start()
        state = self._news.state
        self._reporter.ready(
            port=self._configuration.spectrometer.port,
            pending=pending,
            operating_point=self._steering.point,
            model={"name": state.name, "version": state.version, "stage": state.stage},
        )
        self._notifier.ready(f"model {state.name} version {state.version} ({state.stage}), {pending} requests wait")

    def _look_for_another_model(self) -> None:
        if not self.replaced and self._trial.replaced():
            logger.info("another model was activated: starting again")
            self.replaced = True
            self._stopped.set()

    def _write_metrics(self) -> None:
        if self._textfile.due:
            self._textfile.write(self._snapshot())

    def _snapshot(self) -> Snapshot:
        state = self._news.state
        stage = "trial" if self._trial.on_trial else "factory" if self._opened.record is None else "active"
        updater = {} if self._updater is None else self._updater.counters
        return Snapshot(
            boot=self._journal.boot,
            started=self._started,
            connected=self._uplink.connected,
            waiting=len(self._outbox),
            waiting_bytes=self._outbox.payload_bytes,
            answers=dict(self._reporter.counters),
            spectrometer=dict(self._acquisition.counters),
            uplink=dict(self._uplink.counters),
            models={**updater, **self._news.counters},
            model={"name": state.name, "version": str(state.version), "bundle": state.bundle, "stage": stage},
        )

    def _acquires(self) -> None:
        """Give a sign of life of the acquisition; not when nobody takes the spectra that it has read."""
        if not self._read_ahead.is_full:
            self._watchdog.back_within(self._turn_s)

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
        sequence, counts, quality, acquired = accepted
        flags = accepted.flags
        self._watchdog.back_within(self._turn_s)
        self._steering.before(sequence)
        if unusable := quality.against_use:
            self._reporter.rejected(sequence, f"the spectrum is flagged {' and '.join(unusable.names)}", flags)
            return
        answer = self._classifier.classify(counts)
        self._steering.judged(answer)
        if isinstance(answer, Rejection):
            self._reporter.rejected(sequence, answer.reason, flags)
            return
        if self._trial.judged():
            self._news.tell("confirmed", f"{self._news.state.name}/{self._news.state.version}")
        if answer.confident:
            self._reporter.local(sequence, answer, acquired, flags)
            if not self._steering.probe(sequence, counts, answer, acquired):
                self._audit(sequence, answer, acquired)
        else:
            self._offload(accepted, answer)

    def _offload(self, accepted: Accepted, answer: LocalAnswer) -> None:
        """Ask the gateway; when that is impossible, the device's own answer is final and flagged."""
        sequence, acquired, flags = accepted.sequence, accepted.acquired, accepted.flags
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
            self._steering.obey(command.operating_point)
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

    def _close(self) -> int:
        """End everything; returns how many requests are still pending."""
        # on the way of an exception the acquisition still runs
        self._stopped.set()
        self._read_ahead.stop()
        self._acquisition.close()
        if self._updater is not None:
            self._updater.stop()
        self._upkeep.stop()
        self._uplink.stop()
        self._steering.close()
        self._keeper.stop()
        pending = len(self._outbox)
        self._textfile.write(self._snapshot())
        self._reporter.summary(
            pending,
            spectra=self.spectra,
            not_offloaded=self._reporter.counters["not_offloaded"],
            spectrometer=dict(self._acquisition.counters),
            acquisition=dict(self._read_ahead.counters),
            uplink=dict(self._uplink.counters),
            choosing=dict(self._steering.counters),
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
