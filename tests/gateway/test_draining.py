"""SIGTERM with requests under way: real processes, a real broker, and a tap that sees what is acknowledged."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from support_broker import Broker, wait_until
from support_bundle import DeviceSide, spectra
from support_gateway import DeviceEnd, GatewayProcess
from support_tap import PUBACK, UNSUBSCRIBE, Tap

from specnet.wire import OffloadRequest


@pytest.fixture
def device(broker: Broker) -> Iterator[DeviceEnd]:
    with DeviceEnd(broker) as end:
        yield end


@pytest.fixture
def tap(broker: Broker) -> Iterator[Tap]:
    with Tap(broker) as between:
        yield between


def requests_of(device_side: DeviceSide, n: int) -> list[OffloadRequest]:
    return [device_side.request(x, i) for i, x in enumerate(spectra(n, seed=6))]


def answered_once(device: DeviceEnd, requests: list[OffloadRequest]) -> bool:
    ids = [result.request_id for result in device.results]
    return sorted(ids) == sorted(request.request_id for request in requests)


# a batch may fill up for ten seconds, so requests certainly still wait when the signal comes
WAITS = {"SPECNET_GATEWAY_MAX_WAIT_MS": "10000", "SPECNET_GATEWAY_MAX_BATCH": "1024"}


def test_with_a_replica_every_request_is_answered_exactly_once_and_nothing_is_acknowledged_without(
    store: Path, broker: Broker, tap: Tap, device: DeviceEnd, device_side: DeviceSide
) -> None:
    requests = requests_of(device_side, 300)
    with GatewayProcess(store, tap, "--name", "a", **WAITS) as leaving, GatewayProcess(store, broker) as staying:
        leaving.wait_healthy()
        staying.wait_healthy()
        for request in requests[:200]:
            device.send(request)
        # the broker may keep a few back, if it gave one of the two more than it sends at once
        wait_until(lambda: leaving.metric("queue_depth") + len(device.results) >= 180, "most are somewhere")
        assert leaving.metric("queue_depth") >= 50
        leaving.send_signal(signal.SIGTERM)
        for request in requests[200:]:
            device.send(request)
        assert leaving.terminate() == 0
        assert "waiting=" in leaving.log
        assert "given_up=0 unfinished=0" in leaving.log
        # as a device does: what has no result after a while is sent again
        device.ask(*requests)
    assert answered_once(device, requests)
    assert tap.acknowledged_without_a_result() == set()
    assert len(tap.of_kind(UNSUBSCRIBE, from_client=True)) == 1
    assert {result.gateway for result in device.results} >= {"a"}


def test_what_the_broker_had_queued_for_a_gateway_that_leaves_is_still_answered_there(
    store: Path, broker: Broker, tap: Tap, device: DeviceEnd, device_side: DeviceSide
) -> None:
    # the broker sends five at a time and keeps the others: nobody else would get them
    few = {"SPECNET_GATEWAY_RECEIVE_MAXIMUM": "5", "SPECNET_GATEWAY_MAX_WAIT_MS": "30", "SPECNET_GATEWAY_DRAIN_S": "60"}
    requests = requests_of(device_side, 200)
    with GatewayProcess(store, tap, **few) as gateway:
        gateway.wait_healthy()
        for request in requests:
            device.send(request)
        assert device.session.flush(10)
        assert len(tap.of_kind(PUBACK, from_client=True)) < 200
        assert gateway.terminate(60) == 0
    wait_until(lambda: len(device.results) >= 200, "all results have come")
    assert answered_once(device, requests)
    assert tap.acknowledged_without_a_result() == set()


def test_a_gateway_without_its_broker_ends_at_once(
    store: Path, broker: Broker, device: DeviceEnd, device_side: DeviceSide
) -> None:
    with GatewayProcess(store, broker, SPECNET_GATEWAY_DRAIN_S="600", **WAITS) as gateway:
        gateway.wait_healthy()
        for request in requests_of(device_side, 5):
            device.send(request)
        gateway.wait_metric("queue_depth", 5)
        broker.kill()
        wait_until(lambda: gateway.get("/healthz")[0] == 503, "the gateway notices")
        assert gateway.terminate(30) == 0
        assert gateway.log.count("reason=unpublished") == 1
    assert device.results == []


def test_while_it_ends_it_says_so_to_who_asks_for_its_health(
    store: Path, broker: Broker, device: DeviceEnd, device_side: DeviceSide
) -> None:
    # batches of one and 100 ms each: two seconds of work
    slow = {"SPECNET_GATEWAY_RECEIVE_MAXIMUM": "1", "SPECNET_GATEWAY_MAX_WAIT_MS": "100"}
    with GatewayProcess(store, broker, SPECNET_GATEWAY_DRAIN_S="60", **slow) as gateway:
        gateway.wait_healthy()
        requests = requests_of(device_side, 20)
        for request in requests:
            device.send(request)
        assert device.session.flush(10)
        gateway.send_signal(signal.SIGTERM)
        wait_until(lambda: "it is being stopped" in gateway.get("/healthz")[1], "the health page knows")
        # an impatient second signal changes nothing
        assert gateway.terminate(60) == 0
    assert answered_once(device, requests)
