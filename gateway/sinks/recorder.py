"""The way of a record from the worker's thread over memory and disk to the sink."""

from __future__ import annotations

import logging
import random
import sqlite3
import threading
import time

from gateway.logs import RateLimitedLog, fields
from gateway.sinks.finished import RecordMaker
from gateway.sinks.handover import HandOver
from gateway.sinks.metrics import SinkMetrics
from gateway.sinks.settings import SinkSettings
from gateway.sinks.sink import Sink
from gateway.sinks.spool import Batch, Spool
from gateway.work import Work
from specnet.errors import SinkError, SinkRefusedError
from specnet.mqtt.backoff import BackOff
from specnet.wire import Result
from specnet.wire.records import ResultRecord

_LOGGER = logging.getLogger(__name__)
IDLE_S = 1.0
SPOOL_RETRY_S = 1.0
LEAST_STOP_S = 2.0


class ResultRecorder:
    """Keeps what became of every request, and never makes the worker wait for it.

    Two threads: one moves records from memory to the spool, the other one from the spool to the sink, so that a sink
    that hangs does not fill the memory. A killed process loses at most what is in memory: what came within
    `SpoolSettings.gather_s` and the time of one commit, never more than `memory_rows` and `memory_bytes`.

    Parameters
    ----------
    settings
        Kind, batches, back-off, bounds.
    sink, spool
        Where records go in the end, and where they wait for that; both are closed by `stop`.
    metrics
        What is counted.
    """

    def __init__(self, settings: SinkSettings, sink: Sink, spool: Spool, metrics: SinkMetrics) -> None:
        self._settings = settings
        self._sink = sink
        self._spool = spool
        self._metrics = metrics
        self._maker = RecordMaker()
        self._handover = HandOver(settings.spool.memory_rows, settings.spool.memory_bytes)
        self._log = RateLimitedLog(_LOGGER)
        self._closing = threading.Event()
        self._spooled = threading.Event()
        self._giving_up = threading.Event()
        self._deadline = 0.0
        self._spooler = threading.Thread(target=self._spool_all, name="result-spool", daemon=True)
        self._sender = threading.Thread(target=self._send_all, name="result-sink", daemon=True)
        metrics.watch(spool)

    def start(self) -> None:
        """Start the threads; what an earlier process left in the spool is written first."""
        self._spooler.start()
        self._sender.start()

    def record(self, work: Work, result: Result) -> None:
        """Keep what became of a request; called by the worker, takes some microseconds."""
        if self._sink.only_examples and (result.error or not work.raw):
            self._metrics.dropped.labels("no_example").inc()
        elif not self._handover.put(self._maker.make(work, result, time.time())):
            self._metrics.dropped.labels("memory").inc()

    def stop(self, timeout_s: float) -> None:
        """Put everything into the spool, write what the sink takes within `timeout_s` seconds, and close both.

        What is left waits in the spool for the next start.
        """
        self._deadline = time.monotonic() + max(LEAST_STOP_S, timeout_s)
        self._closing.set()
        self._handover.wake()
        if self._spooler.is_alive():
            self._spooler.join(max(LEAST_STOP_S, timeout_s))
        self._giving_up.set()
        self._spooled.set()
        if self._sender.is_alive():
            self._sender.join(max(LEAST_STOP_S, self._deadline - time.monotonic()))
        if self._spool.rows:
            _LOGGER.warning("results wait in the spool for the next start", extra=fields(rows=self._spool.rows))
        if not self._sender.is_alive() and not self._spooler.is_alive():
            # a thread that hangs in a sink ends with the process, and so do the locks
            self._spool.close()

    # ------------------------------------------------------------------ memory to disk

    def _spool_all(self) -> None:
        records: list[ResultRecord] = []
        while True:
            if not records:
                self._handover.wait()
                self._closing.wait(self._settings.spool.gather_s)
                records = self._handover.take()
            if self._put(records):
                records = []
                self._spooled.set()
            elif self._closing.wait(SPOOL_RETRY_S):
                self._metrics.dropped.labels("memory").inc(len(records))
                return
            if self._closing.is_set() and not records and not self._handover.waiting:
                return

    def _put(self, records: list[ResultRecord]) -> bool:
        try:
            dropped = self._spool.put(records) if records else 0
        except sqlite3.Error as error:
            self._metrics.failures.labels("spool").inc()
            self._log.warning("results cannot be spooled", reason="spool", path=self._spool.path, error=error)
            return False
        except Exception as error:  # a text that has no UTF-8, say: the others, and the thread, must not go with it
            if len(records) > 1:
                return all(self._put([record]) for record in records)
            self._metrics.dropped.labels("damaged").inc()
            self._log.warning("a result cannot be written down", reason="damaged", error=error)
            return True
        if dropped:
            self._metrics.dropped.labels("spool").inc(dropped)
            self._log.warning("the spool is full: the oldest results were dropped", reason="full", dropped=dropped)
        return True

    # ------------------------------------------------------------------ disk to sink

    def _send_all(self) -> None:
        pauses = self._new_pauses()
        while not self._is_over():
            self._spooled.clear()
            try:
                batch = self._spool.batch(self._settings.batch)
                if batch.up_to:
                    self._write(batch)
                elif self._giving_up.is_set():
                    break
                self._sink.tend()
                if not batch.up_to:
                    self._spooled.wait(IDLE_S)
            except Exception as error:  # the thread outlives whatever is wrong with a sink
                self._fail(error)
                if self._giving_up.wait(pauses.after(0.0)):
                    break
            else:
                pauses = self._new_pauses()
        self._sink.close()

    def _is_over(self) -> bool:
        return self._giving_up.is_set() and time.monotonic() >= self._deadline

    def _new_pauses(self) -> BackOff:
        return BackOff(self._settings.retry_min_s, self._settings.retry_max_s, random.Random())

    def _fail(self, error: Exception) -> None:
        self._spool.release()
        self._metrics.failures.labels(self._settings.kind).inc()
        known = isinstance(error, (SinkError, sqlite3.Error))
        shown = error if known else f"{type(error).__name__}: {error}"
        self._log.warning("results cannot be written, they wait", reason="sink", sink=self._settings.kind, error=shown)

    def _write(self, batch: Batch) -> None:
        if batch.undecodable:
            self._metrics.dropped.labels("damaged").inc(batch.undecodable)
        refused = 0
        try:
            self._sink.write(batch.records)
        except SinkRefusedError:
            refused = sum(not self._is_taken(record) for record in batch.records)
        self._spool.remove(batch.up_to)
        self._metrics.dropped.labels("refused").inc(refused)
        self._metrics.written.labels(self._settings.kind).inc(len(batch.records) - refused)

    def _is_taken(self, record: ResultRecord) -> bool:
        """Write one record of a batch that was refused, so that it cannot hold up the others."""
        try:
            self._sink.write([record])
        except SinkRefusedError as error:
            self._log.warning(
                "a result is not kept", reason="refused", request="/".join(map(str, record.id)), error=error
            )
            return False
        return True
