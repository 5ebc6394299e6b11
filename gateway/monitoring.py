"""Prometheus metrics of one gateway, in a registry of its own.

Label values come from bundles in service and from the program, never from a message: a stranger cannot make new series.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from gateway.answers import Waiting
from gateway.models import ServedModel
from gateway.scheduling import Refusal

_PREFIX = "specnet_gateway"
_BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_SECONDS_BUCKETS = (1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
PRIORITIES = {False: "answer", True: "audit"}
"""By `OffloadRequest.audit`: a device waits for an answer, nobody for an audit sample."""
FAULTS = ("compute", "internal", "unpublished", "upkeep")
SHED = (*(refusal.value for refusal in Refusal), "stopping", "internal", "memory")
"""Reasons that are shown from the beginning: Prometheus takes no notice of the first event of a series that is new."""


@dataclass(frozen=True)
class Watched:
    """What is read whenever the metrics are asked for.

    Parameters
    ----------
    version, engine
        Of the program, and what runs the segments.
    waiting
        Requests without an answer, of audit samples or of the others.
    connected, healthy
        Whether the broker is there, and whether requests can be served.
    bundles
        Those in service.
    session
        Counters of the MQTT session.
    """

    version: str
    engine: str
    waiting: Callable[[bool], Waiting]
    connected: Callable[[], bool]
    healthy: Callable[[], bool]
    bundles: Callable[[], Iterable[ServedModel]]
    session: Mapping[str, int]


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
        self.resent = counter("results_resent_total", "Known results that were sent again for a repeated request")
        self.shed = counter("shed_total", "Requests given up for lack of room; devices send them again", "reason")
        self.retries = counter("retries_total", "Batches that failed and were tried again in smaller parts")
        self.bad_bundles = counter("bad_bundles_total", "Files of the model store that failed a check")
        self.models_loaded = counter("models_loaded_total", "Bundles loaded, by the precision chosen", "precision")
        self.models_unloaded = counter("models_unloaded_total", "Bundles unloaded, by the reason", "reason")
        self.model_bytes = Gauge(
            f"{_PREFIX}_model_bytes", "Estimated memory of the bundles in service", registry=self.registry
        )
        self.batch_size = histogram("batch_size", "Requests in one segment call", _BATCH_BUCKETS, "segment")
        self.queue_seconds = histogram("queue_seconds", "Time from arrival to computation", _SECONDS_BUCKETS)
        self.segment_seconds = histogram("segment_seconds", "Time of one segment call", _SECONDS_BUCKETS, "segment")
        latency = histogram(
            "request_seconds", "Time from a request's arrival to its result", _SECONDS_BUCKETS, "priority"
        )
        # by `OffloadRequest.audit`; looked up once, because this is done for every request
        self.request_seconds = {audit: latency.labels(priority) for audit, priority in PRIORITIES.items()}
        for reason in FAULTS:
            self.errors.labels(reason)
        for reason in SHED:
            self.shed.labels(reason)
        # without the prefix: memory and processor time are named alike for all programs
        ProcessCollector(registry=self.registry)

    def watch(self, watched: Watched) -> None:
        """Read these whenever the metrics are asked for."""
        self.registry.register(_Live(watched, self.segment_seconds))

    def text(self) -> bytes:
        """Metrics in Prometheus' text format."""
        return generate_latest(self.registry)


class _Live:
    """Presents what is kept elsewhere."""

    def __init__(self, watched: Watched, segment_seconds: Histogram) -> None:
        self._watched = watched
        self._segment_seconds = segment_seconds
        self._bytes: dict[str, int] = {}

    def collect(self) -> Iterator[Metric]:
        """Metric families of this moment."""
        watched = self._watched
        build = _gauge("build_info", "What runs here", "version", "engine")
        build.add_metric([watched.version, watched.engine], 1)
        yield build
        yield from self._queue()
        yield GaugeMetricFamily(
            f"{_PREFIX}_broker_connected", "1 while connected to the broker", float(watched.connected())
        )
        yield GaugeMetricFamily(
            f"{_PREFIX}_healthy", "1 while requests can be served, as /healthz says", float(watched.healthy())
        )
        yield from self._bundles()
        yield CounterMetricFamily(f"{_PREFIX}_engine_seconds", "Time in segment calls, in all", self._engine_seconds())
        events = CounterMetricFamily(f"{_PREFIX}_mqtt_events", "Events of the MQTT session", labels=["event"])
        for event, count in watched.session.items():
            events.add_metric([event], count)
        yield events

    def _queue(self) -> Iterator[Metric]:
        depth = _gauge("queue_depth", "Requests without an answer yet: they wait or are being computed", "priority")
        age = _gauge("queue_age_seconds", "Time since the oldest of them arrived; 0 when there is none", "priority")
        for audit, priority in PRIORITIES.items():
            waiting = self._watched.waiting(audit)
            depth.add_metric([priority], waiting.requests)
            age.add_metric([priority], waiting.oldest_s)
        yield depth
        yield age

    def _bundles(self) -> Iterator[Metric]:
        models = list(self._watched.bundles())
        yield GaugeMetricFamily(f"{_PREFIX}_bundles", "Bundles in service", len(models))
        info = _gauge("bundle_info", "The bundles in service", "bundle", "name", "version")
        size = _gauge("bundle_bytes", "Size of their files", "bundle")
        for model in models:
            info.add_metric([model.bundle_id, model.manifest.name, str(model.manifest.version)], 1)
            if (found := self._file_bytes(model)) is not None:
                size.add_metric([model.bundle_id], found)
        yield info
        yield size

    def _file_bytes(self, model: ServedModel) -> int | None:
        """Size of a bundle's file; remembered, because the file may go while the bundle is in service."""
        if model.bundle_id not in self._bytes:
            try:
                self._bytes[model.bundle_id] = model.path.stat().st_size
            except OSError:
                return None
        return self._bytes[model.bundle_id]

    def _engine_seconds(self) -> float:
        samples = (sample for metric in self._segment_seconds.collect() for sample in metric.samples)
        return sum(sample.value for sample in samples if sample.name.endswith("_sum"))


def _gauge(name: str, help_text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{_PREFIX}_{name}", help_text, labels=labels)
