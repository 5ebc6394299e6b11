"""The service in this process: what needs an engine that a test can hold up."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support_broker import Broker, settings_for, wait_until
from support_bundle import DeviceSide, spectra
from support_gateway import DeviceEnd
from support_tap import PUBACK, Tap

import gateway.service
from gateway.config import GatewaySettings, MonitoringSettings
from gateway.engine import OnnxEngine
from gateway.service import GatewayService
from specnet.errors import ModelError
from specnet.runtime import SegmentOutput


class HeldEngine(OnnxEngine):
    """The real engine, which computes only while `go` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.go.set()
        self.entered = threading.Event()

    def run(self, bundle_id: str, segment_index: int, features: np.ndarray) -> SegmentOutput:
        self.entered.set()
        assert self.go.wait(60)
        return super().run(bundle_id, segment_index, features)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[HeldEngine]:
    engine = HeldEngine()
    monkeypatch.setattr(gateway.service, "create_engine", lambda _: engine)
    yield engine
    engine.go.set()


@pytest.fixture
def tap(broker: Broker) -> Iterator[Tap]:
    with Tap(broker) as between:
        yield between


@pytest.fixture
def service(store: Path, tap: Tap, held: HeldEngine) -> Iterator[GatewayService]:
    settings = GatewaySettings(
        store=str(store),
        state_dir=str(store.with_name("gateway-state")),
        broker=settings_for(tap),
        monitoring=MonitoringSettings(port=0),
        max_batch=1,
        drain_s=0.2,
        model_grace_s=0,
    )
    with GatewayService(settings) as running:
        held.go.clear()
        held.entered.clear()
        wait_until(lambda: not running.problems(), "the service can serve")
        yield running
        held.go.set()


def shed(service: GatewayService, reason: str) -> float:
    return service.metrics.registry.get_sample_value("specnet_gateway_shed_total", {"reason": reason}) or 0.0


def test_a_request_that_waits_is_not_queued_twice(
    service: GatewayService, held: HeldEngine, broker: Broker, device_side: DeviceSide
) -> None:
    request = device_side.request(spectra(1)[0], 1)
    with DeviceEnd(broker) as device:
        for _ in range(5):
            device.send(request)
        wait_until(lambda: service.session.mqtt.counters["received"] == 5, "all five are here")
        assert held.entered.wait(10)
        assert len(service.scheduler) == 0
        held.go.set()
        wait_until(lambda: device.results, "answered")
        # a request that comes last shows that nothing of the first five is still under way
        device.ask(device_side.request(spectra(2)[1], 2))
        assert len(device.results_of(request)) == 1


def test_stopping_ends_in_bounded_time_although_a_computation_hangs_and_acknowledges_nothing(
    service: GatewayService, held: HeldEngine, broker: Broker, tap: Tap, device_side: DeviceSide
) -> None:
    with DeviceEnd(broker) as device:
        for number, spectrum in enumerate(spectra(4)):
            device.send(device_side.request(spectrum, number))
        assert held.entered.wait(10)
        wait_until(lambda: len(service.scheduler) == 3, "three requests wait behind the one that hangs")
        stopper = threading.Thread(target=service.stop)
        stopper.start()
        stopper.join(20)
        assert not stopper.is_alive()
        assert shed(service, "stopping") == 3
        assert device.results == []
        assert service.answers.under_way == 1  # the one that hangs
        assert tap.of_kind(PUBACK, from_client=True) == []


def test_requests_that_come_while_stopping_are_left_to_others(
    service: GatewayService, held: HeldEngine, broker: Broker, device_side: DeviceSide
) -> None:
    with DeviceEnd(broker) as device:
        service.session.close_intake()
        device.send(device_side.request(spectra(1)[0], 1))
        wait_until(lambda: service.session.mqtt.counters["received"] == 1, "the message is here")
        assert not held.entered.is_set()
        assert len(service.scheduler) == 0


def test_a_bundle_is_unloaded_only_when_the_requests_under_way_are_answered(
    service: GatewayService, held: HeldEngine, broker: Broker, store: Path, device_side: DeviceSide
) -> None:
    [model] = service.store.models
    measured = spectra(4)
    with DeviceEnd(broker) as device:
        requests = [device_side.request(spectrum, number) for number, spectrum in enumerate(measured)]
        for request in requests:
            device.send(request)
        assert held.entered.wait(10)
        wait_until(lambda: len(service.scheduler) == 3, "three requests wait behind the one that hangs")
        (store / "hand" / "1" / "model.specnet").unlink()
        service.store.wake.set()
        wait_until(lambda: not service.store.models, "it is handed out no more")
        assert service.store.leaving
        held.go.set()
        wait_until(lambda: len(device.results) == 4, "all are answered")
        assert [result.label for result in device.ask(*requests)] == [
            device_side.expected(spectrum).label for spectrum in measured
        ]
        wait_until(lambda: not service.store.leaving, "it is unloaded")
        with pytest.raises(ModelError, match="is not loaded"):
            held.run(model.bundle_id, 1, measured[:, :, None])
        counted = service.metrics.registry.get_sample_value
        wait_until(
            lambda: counted("specnet_gateway_models_unloaded_total", {"reason": "removed"}) == 1, "it is counted"
        )
        # who asks now is told that it is not served here
        [late] = device.ask(device_side.request(measured[0], 99))
        assert "is not served" in late.error


def test_a_computation_that_hangs_ends_the_signs_of_life_until_it_goes_on(
    service: GatewayService, held: HeldEngine, broker: Broker, device_side: DeviceSide
) -> None:
    service.vitality.patience_s = 0.05
    assert service.vitality.look()
    with DeviceEnd(broker) as device:
        device.send(device_side.request(spectra(1)[0], 1))
        assert held.entered.wait(10)
        wait_until(lambda: not service.vitality.look(), "no promise is made any more")
        held.go.set()
        wait_until(service.vitality.look, "the answer is a sign of life")
