"""A gateway process while things break: killed, broker away, stopped with work in the queue, flooded with rubbish."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support_broker import Broker, wait_until
from support_bundle import DeviceSide, spectra
from support_gateway import DeviceEnd, GatewayProcess

from specnet.wire import encode


@pytest.fixture
def device(broker: Broker) -> Iterator[DeviceEnd]:
    with DeviceEnd(broker) as end:
        yield end


def test_after_sigkill_and_restart_requests_without_a_result_are_answered(
    store: Path, broker: Broker, device: DeviceEnd, device_side: DeviceSide
) -> None:
    measured = spectra(100, seed=3)
    requests = [device_side.request(x, i) for i, x in enumerate(measured)]
    with GatewayProcess(store, broker) as gateway:
        gateway.wait_healthy()
        device.ask(requests[0])
        for request in requests:
            device.send(request)
        os.kill(gateway.pid, signal.SIGKILL)
        gateway.kill()
        gateway.start()
        results = device.ask(*requests)
        # the new process has forgotten the old answers; asked again it must say the same
        known = len(device.results_of(requests[0]))
        device.send(requests[0])
        wait_until(lambda: len(device.results_of(requests[0])) > known, "the first request is answered again")
    assert [result.label for result in results] == [device_side.expected(x).label for x in measured]
    said = {(r.label, r.exit_index, r.macs, round(r.probability, 5)) for r in device.results_of(requests[0])}
    assert len(said) == 1


def test_a_broker_that_is_absent_at_start_is_waited_for(store: Path, broker: Broker, device_side: DeviceSide) -> None:
    broker.stop()
    with GatewayProcess(store, broker) as gateway:
        status, body = gateway.get("/healthz")
        assert status == 503
        assert json.loads(body)["reasons"] == [f"not connected to broker {broker.host}:{broker.port}"]
        broker.start()
        with DeviceEnd(broker) as device:
            assert device.ask(device_side.request(spectra(1)[0], 1))[0].error == ""
        assert gateway.get("/healthz")[0] == 200


def test_a_broker_killed_in_the_middle_costs_no_answer(
    store: Path, broker: Broker, device: DeviceEnd, device_side: DeviceSide
) -> None:
    measured = spectra(60, seed=4)
    requests = [device_side.request(x, i) for i, x in enumerate(measured)]
    with GatewayProcess(store, broker) as gateway:
        gateway.wait_healthy()
        device.ask(*requests[:5])
        for request in requests[5:30]:
            device.send(request)
        broker.kill()
        wait_until(lambda: gateway.get("/healthz")[0] == 503, "the gateway notices")
        broker.start()
        results = device.ask(*requests)
        assert gateway.running
        assert gateway.metric("mqtt_events_total", event="connects") >= 2
    assert [result.label for result in results] == [device_side.expected(x).label for x in measured]


def test_sigterm_finishes_and_answers_what_waits_in_the_queue(
    store: Path, broker: Broker, device: DeviceEnd, device_side: DeviceSide
) -> None:
    # a batch may fill up for ten seconds, so the requests certainly still wait when the signal comes
    with GatewayProcess(store, broker, SPECNET_GATEWAY_MAX_WAIT_MS="10000", SPECNET_GATEWAY_MAX_BATCH="20") as gateway:
        gateway.wait_healthy()
        warm = [device_side.request(x, i) for i, x in enumerate(spectra(20))]
        device.ask(*warm)
        waiting = [device_side.request(x, 100 + i) for i, x in enumerate(spectra(7))]
        for request in waiting:
            device.send(request)
        gateway.wait_metric("queue_depth", 7)
        assert gateway.terminate() == 0
    wait_until(lambda: all(device.results_of(request) for request in waiting), "the queue was answered", timeout=2.0)
    assert all(len(device.results_of(request)) == 1 for request in waiting)
    assert 'event="stopped"' in gateway.log or "event=stopped" in gateway.log


def test_a_full_queue_sheds_audits_first_then_the_newest_and_the_next_attempt_is_answered(
    store: Path, broker: Broker, device: DeviceEnd, device_side: DeviceSide
) -> None:
    with GatewayProcess(
        store, broker, SPECNET_GATEWAY_MAX_QUEUE="3", SPECNET_GATEWAY_MAX_WAIT_MS="1000", SPECNET_GATEWAY_MAX_BATCH="9"
    ) as gateway:
        gateway.wait_healthy()
        device.ask(device_side.request(spectra(1)[0], 0))
        measured = spectra(6, seed=1)
        audit = device_side.request(measured[0], 1, audit=True)
        requests = [device_side.request(x, 2 + i) for i, x in enumerate(measured[1:])]
        for request in [audit, *requests]:
            device.send(request)
        gateway.wait_metric("shed_total", 1, reason="audit")
        gateway.wait_metric("shed_total", 2, reason="full")
        wait_until(lambda: all(device.results_of(request) for request in requests[:3]), "the oldest are answered")
        assert [len(device.results_of(request)) for request in [audit, *requests[3:]]] == [0, 0, 0]
        assert device.ask(*requests[3:])[0].error == ""


def test_rubbish_at_random_never_ends_the_service(
    store: Path, broker: Broker, device: DeviceEnd, device_side: DeviceSide
) -> None:
    generator = np.random.default_rng(7)
    good = device_side.request(spectra(1)[0], 1)
    payload, topic = encode(good), device.topics.offload(good.bundle, good.split)
    with GatewayProcess(store, broker) as gateway:
        gateway.wait_healthy()
        device.ask(good)
        received = gateway.metric("mqtt_events_total", event="received")
        for _ in range(300):
            mutated = bytearray(payload)
            for position in generator.integers(0, len(mutated), size=3):
                mutated[position] = generator.integers(0, 256)
            device.send_raw(topic, bytes(mutated[: generator.integers(0, len(mutated) + 1)]))
            device.send_raw(topic, bytes(mutated))
        gateway.wait_metric("mqtt_events_total", received + 600, event="received")
        assert device.ask(device_side.request(spectra(1)[0], 2))[0].error == ""
        assert gateway.metric("mqtt_events_total", event="callback_errors") == 0
        assert gateway.metric("errors_total", reason="internal") == 0
        # the log is rate-limited: a broken device must not fill the disk
        assert gateway.log.count("a message was refused") <= 10
