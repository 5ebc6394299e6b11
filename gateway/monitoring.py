"""Prometheus metrics of one gateway, in a registry of its own.

Label values come from bundles in service and from the program, never from a message: a stranger cannot make new series.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily

_PREFIX = "specnet_gateway"
_BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_SECONDS_BUCKETS = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)


class Metrics:
    """Everything that is counted; see the help texts."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

        def counter(name: str, help_text: str, *labels: str) -> Counter:
            return Counter(f"{_PREFIX}_{name}", help_text, labels, registry=self.registry)

        def histogram(name: str, help_text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(f"{_PREFIX}_{name}", help_text, labels, buckets=buckets, registry=self.registry)

        self.requests = counter("requests_total", "Valid requests that were not duplicates", "bundle", "split")
        self.results = counter("results_total", "Answers by the exit that gave them", "bundle", "exit")
        self.errors = counter("errors_total", "Messages and requests without an answer", "reason")
        self.duplicates = counter("duplicates_total", "Requests that were known or under way already")
        self.shed = counter("shed_total", "Requests given up for lack of room; devices send them again", "reason")
        self.bad_bundles = counter("bad_bundles_total", "Files of the model store that failed a check")
        self.models_loaded = counter("models_loaded_total", "Bundles loaded, by the precision chosen", "precision")
        self.models_unloaded = counter("models_unloaded_total", "Bundles unloaded, by the reason", "reason")
        self.model_bytes = Gauge(
            f"{_PREFIX}_model_bytes", "Estimated memory of the bundles in service", registry=self.registry
        )
        self.batch_size = histogram("batch_size", "Requests in one segment call", _BATCH_BUCKETS, "segment")
        self.queue_seconds = histogram("queue_seconds", "Time from arrival to computation", _SECONDS_BUCKETS)
        self.segment_seconds = histogram("segment_seconds", "Time of one segment call", _SECONDS_BUCKETS, "segment")
        self._queue_depth = Gauge(f"{_PREFIX}_queue_depth", "Requests that wait", registry=self.registry)
        self._broker = Gauge(f"{_PREFIX}_broker_connected", "1 while connected to the broker", registry=self.registry)
        self._bundles = Gauge(f"{_PREFIX}_bundles", "Bundles in service", registry=self.registry)

    def watch(
        self,
        *,
        queue_depth: Callable[[], int],
        connected: Callable[[], bool],
        bundles: Callable[[], int],
        session: Mapping[str, int],
    ) -> None:
        """Read these whenever the metrics are asked for; `session` are the counters of the MQTT session."""
        self._queue_depth.set_function(queue_depth)
        self._broker.set_function(lambda: float(connected()))
        self._bundles.set_function(bundles)
        self.registry.register(_SessionCounters(session))

    def text(self) -> bytes:
        """Metrics in Prometheus' text format."""
        return generate_latest(self.registry)


class _SessionCounters:
    """Presents counters that are kept elsewhere."""

    def __init__(self, counters: Mapping[str, int]) -> None:
        self._counters = counters

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Metric family with one sample an event."""
        family = CounterMetricFamily(f"{_PREFIX}_mqtt_events", "Events of the MQTT session", labels=["event"])
        for event, count in self._counters.items():
            family.add_metric([event], count)
        yield family
