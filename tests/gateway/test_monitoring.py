"""What a scrape says: queue, batches, segments, bundles, build; and that nothing of a message becomes a label."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support_broker import Broker, wait_until
from support_bundle import DeviceSide, make_bundle, spectra
from support_gateway import DeviceEnd, GatewayProcess

from gateway.answers import Waiting
from gateway.models import ServedModel
from gateway.monitoring import Metrics, Watched
from specnet import __version__


@pytest.fixture
def device(broker: Broker) -> Iterator[DeviceEnd]:
    with DeviceEnd(broker) as end:
        yield end


def watched(**changes: object) -> Watched:
    values = {
        "version": "1.2.3",
        "engine": "onnxruntime",
        "waiting": lambda audit: Waiting(0, 0.0),
        "connected": lambda: True,
        "healthy": lambda: True,
        "bundles": list,
        "session": {"connects": 1},
    }
    return Watched(**{**values, **changes})


def value_of(metrics: Metrics) -> Callable[..., float | None]:
    def value(name: str, /, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(f"specnet_gateway_{name}", labels)

    return value


def test_the_engines_time_is_that_of_all_segments() -> None:
    metrics = Metrics()
    metrics.watch(watched())
    for segment, seconds in ((2, 0.5), (2, 0.25), (3, 1.0)):
        metrics.segment_seconds.labels(segment).observe(seconds)
    value = value_of(metrics)
    assert value("segment_seconds_sum", segment="2") == 0.75
    assert value("engine_seconds_total") == 1.75


def test_a_bundles_size_is_known_although_its_file_went(model: ServedModel) -> None:
    metrics = Metrics()
    metrics.watch(watched(bundles=lambda: [model]))
    value, size = value_of(metrics), model.path.stat().st_size
    assert value("bundle_bytes", bundle=model.bundle_id) == size
    assert value("bundle_info", bundle=model.bundle_id, name="hand", version="1") == 1
    model.path.unlink()
    assert value("bundle_bytes", bundle=model.bundle_id) == size
    fresh = Metrics()
    fresh.watch(watched(bundles=lambda: [model]))
    assert value_of(fresh)("bundle_bytes", bundle=model.bundle_id) is None
    assert value_of(fresh)("bundles") == 1


def test_a_scrape_never_breaks_while_requests_are_counted() -> None:
    metrics, ended = Metrics(), threading.Event()
    metrics.watch(watched())

    def count() -> None:
        number = 0
        while not ended.is_set():
            number += 1
            metrics.segment_seconds.labels(number % 50).observe(0.001)

    thread = threading.Thread(target=count)
    thread.start()
    try:
        pages = [metrics.text() for _ in range(50)]
    finally:
        ended.set()
        thread.join(10)
    assert all(page.endswith(b"\n") for page in pages)


def test_queue_by_priority_latency_and_repeated_results_of_a_real_process(
    store: Path, broker: Broker, device: DeviceEnd, device_side: DeviceSide
) -> None:
    make_bundle(store / "hand" / "2" / "model.specnet", seed=3, version=2)
    with GatewayProcess(store, broker, SPECNET_GATEWAY_MAX_WAIT_MS="2000") as gateway:
        gateway.wait_healthy()
        waiting = [device_side.request(x, i, audit=i == 0) for i, x in enumerate(spectra(4))]
        for request in waiting:
            device.send(request)
        gateway.wait_metric("queue_depth", 3, priority="answer")
        gateway.wait_metric("queue_depth", 1, priority="audit")
        assert gateway.metric("queue_age_seconds", priority="answer") > 0
        assert gateway.metric("queue_age_seconds", priority="audit") > 0
        wait_until(lambda: len(device.results) == 4, "all are answered")
        gateway.wait_metric("request_seconds_count", 3, priority="answer")
        assert gateway.metric("request_seconds_count", priority="audit") == 1
        assert gateway.metric("queue_depth") == gateway.metric("queue_age_seconds") == 0
        device.send(waiting[1])
        gateway.wait_metric("results_resent_total", 1)
        assert gateway.metric("duplicates_total") == 1
        assert gateway.metric("build_info", version=__version__, engine="onnxruntime") == 1
        assert gateway.metric("healthy") == 1
        assert gateway.metric("bundle_info", name="hand", version="2") == 1
        sizes = sum(path.stat().st_size for path in store.glob("*/*/*.specnet"))
        assert gateway.metric("bundle_bytes") == sizes
        assert gateway.metric("engine_seconds_total") == pytest.approx(gateway.metric("segment_seconds_sum"))
        assert "process_resident_memory_bytes" in gateway.get("/metrics")[1]
        broker.stop()
        wait_until(lambda: gateway.metric("broker_connected") == 0, "the broker is missed")
        assert gateway.metric("healthy") == 0
