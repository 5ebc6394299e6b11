"""What is counted of the results that are kept."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Counter, Gauge

from gateway.sinks.spool import Spool

_PREFIX = "specnet_gateway"


class SinkMetrics:
    """Counters of the way from the worker to the sink; see the help texts.

    `failures` are counted by the kind of the sink, those of the disk under ``spool``. Reasons of `dropped`: ``memory``
    (the hand-over was full: the disk is too slow, or full), ``spool`` (the spool was full: the sink was down for too
    long), ``refused`` (the sink will never take it), ``damaged`` (it cannot be written down or read back),
    ``no_example`` (without a raw spectrum, for a sink that keeps only these), ``expired`` (the oldest results of an
    SQLite file that has reached its size).
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, label: str) -> Counter:
            return Counter(f"{_PREFIX}_{name}", text, (label,), registry=registry)

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(f"{_PREFIX}_{name}", text, registry=registry)

        self.written = counter("sink_records_total", "Results that a sink has committed", "sink")
        self.failures = counter("sink_failures_total", "Attempts to write results that failed", "sink")
        self.dropped = counter("sink_dropped_total", "Results that are not or no more kept", "reason")
        self._rows = gauge("sink_spool_rows", "Results on disk that wait for the sink")
        self._bytes = gauge("sink_spool_bytes", "Bytes of results on disk that wait for the sink")
        self._age = gauge("sink_spool_oldest_age_seconds", "Age of the oldest result that waits for the sink; 0: none")

    def watch(self, spool: Spool) -> None:
        """Read these whenever the metrics are asked for."""
        self._rows.set_function(lambda: spool.rows)
        self._bytes.set_function(lambda: spool.size)
        self._age.set_function(lambda: spool.age_s(time.time()))
