"""A gateway process with a real broker: answers, duplicates, bad messages, metrics."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from support_broker import Broker, require, wait_until
from support_bundle import DeviceSide, make_bundle, spectra
from support_gateway import DeviceEnd, GatewayProcess, damaged

from specnet.codec import EncodedFeatures
from specnet.wire import encode

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[GatewayProcess, Broker, Path]]:
    """One broker and one gateway for all tests of this file; each test is another device."""
    folder = tmp_path_factory.mktemp("house")
    bundle = folder / "store" / "hand" / "1" / "model.specnet"
    make_bundle(bundle)
    require("mosquitto")
    with Broker(folder=folder / "broker") as broker, GatewayProcess(folder / "store", broker) as process:
        process.wait_healthy()
        yield process, broker, bundle


@pytest.fixture
def gateway(house: tuple[GatewayProcess, Broker, Path]) -> GatewayProcess:
    house[0].mark()
    return house[0]


@pytest.fixture
def broker(house: tuple[GatewayProcess, Broker, Path]) -> Broker:
    return house[1]


@pytest.fixture
def bundle_path(house: tuple[GatewayProcess, Broker, Path]) -> Path:
    return house[2]


@pytest.fixture
def device(broker: Broker) -> Iterator[DeviceEnd]:
    with DeviceEnd(broker, device=f"probe-{next(_numbers)}") as end:
        yield end


@pytest.fixture
def device_side(device: DeviceEnd, bundle_path: Path) -> DeviceSide:
    return DeviceSide(bundle_path, device=device.topics.device)


def test_answers_equal_those_of_running_every_segment_for_each_split(
    gateway: GatewayProcess, device: DeviceEnd, device_side: DeviceSide
) -> None:
    measured = spectra(60, seed=5)
    splits = [index % 3 for index in range(60)]
    requests = [
        device_side.request(x, i, split=split) for i, (x, split) in enumerate(zip(measured, splits, strict=True))
    ]
    results = device.ask(*requests)
    for spectrum, split, result in zip(measured, splits, results, strict=True):
        expected = device_side.expected(spectrum, split=split)
        assert (result.error, result.label, result.exit_index, result.macs) == (
            "",
            expected.label,
            expected.exit_index,
            expected.macs,
        )
        assert result.probability == pytest.approx(expected.probability, abs=1e-5)
    assert {result.exit_index for result in results} == {1, 2, 3}


def test_a_repeated_request_gets_the_same_answer_without_being_computed_again(
    gateway: GatewayProcess, device: DeviceEnd, device_side: DeviceSide
) -> None:
    request = device_side.request(spectra(1)[0], 1)
    device.ask(request)
    computed = gateway.metric("requests_total")
    for _ in range(3):
        device.send(request)
    wait_until(lambda: len(device.results) >= 4, "every repetition is answered")
    assert len(set(device.inbox.payloads)) == 1
    assert gateway.metric("requests_total") == computed
    assert gateway.metric("duplicates_total") >= 3


def test_another_spectrum_under_an_old_number_is_no_duplicate(
    gateway: GatewayProcess, device: DeviceEnd, device_side: DeviceSide
) -> None:
    measured = spectra(40, seed=2)
    first = measured[0]
    answer = device_side.expected(first).label
    other = next(x for x in measured if device_side.expected(x).label != answer)
    device.ask(device_side.request(first, 1))
    device.send(device_side.request(other, 1))
    wait_until(lambda: len(device.results) >= 2, "both are answered")
    assert [result.label for result in device.results] == [answer, device_side.expected(other).label]


def test_a_request_for_an_unknown_bundle_is_answered_with_the_reason(
    gateway: GatewayProcess, device: DeviceEnd, device_side: DeviceSide
) -> None:
    request = msgspec.structs.replace(device_side.request(spectra(1)[0], 1), bundle="0123456789abcdef")
    [result] = device.ask(request)
    assert "0123456789abcdef is not served" in result.error
    assert gateway.metric("errors_total", reason="unknown_bundle") >= 1
    assert "0123456789abcdef" not in gateway.get("/metrics")[1]


@pytest.mark.parametrize(
    ("change", "reason", "message"),
    [
        (lambda r: {"features": damaged(r.features)}, "features", "checksum"),
        (
            lambda r: {"features": EncodedFeatures("float32", (4, 8), r.features.data, r.features.crc32)},
            "features",
            "(8, 4)",
        ),
        (lambda r: {"state": b""}, "state", "expected 3"),
        (lambda r: {"state": np.array([0, np.nan, 0], dtype="<f4").tobytes()}, "state", "finite"),
        (lambda r: {"split": 3}, "split", "splits 0..2"),
    ],
)
def test_what_is_wrong_with_a_readable_request_is_said_to_the_device(
    gateway: GatewayProcess, device: DeviceEnd, device_side: DeviceSide, change, reason: str, message: str
) -> None:
    good = device_side.request(spectra(1)[0], 1)
    [result] = device.ask(msgspec.structs.replace(good, **change(good)))
    assert message in result.error
    assert gateway.metric("errors_total", reason=reason) >= 1
    [after] = device.ask(device_side.request(spectra(1)[0], 2))
    assert after.error == ""


def test_features_that_are_not_finite_are_refused_although_their_checksum_is_right(
    gateway: GatewayProcess, device: DeviceEnd, device_side: DeviceSide
) -> None:
    good = device_side.request(spectra(1)[0], 1)
    data = np.full(32, np.nan, dtype="<f4").tobytes()
    bad = EncodedFeatures("float32", (8, 4), data, zlib.crc32(data))
    [result] = device.ask(msgspec.structs.replace(good, features=bad))
    assert "not finite" in result.error


def test_bad_messages_are_counted_by_reason_and_the_next_good_one_is_answered(
    gateway: GatewayProcess, device: DeviceEnd, device_side: DeviceSide
) -> None:
    good = device_side.request(spectra(1)[0], 1)
    topic = device.topics.offload(good.bundle, good.split)
    device.ask(good)
    answered = len(device.results)

    device.send_raw(topic, b"\xff not msgpack")
    device.send_raw(topic, b"")
    device.send_raw(topic, encode(good).replace(b"\xa1v\x01", b"\xa1v\x02"))
    device.send(msgspec.structs.replace(good, device="another", sequence=2), topic=topic)
    device.send(msgspec.structs.replace(good, site="elsewhere", sequence=2), topic=topic)
    device.send_raw(f"{device.topics.base}/offload/x/99", encode(good))
    gateway.wait_metric("errors_total", 2, reason="malformed")
    gateway.wait_metric("errors_total", 1, reason="version")
    gateway.wait_metric("errors_total", 2, reason="foreign")
    gateway.wait_metric("errors_total", 1, reason="topic")
    assert len(device.results) == answered

    assert device.ask(device_side.request(spectra(2)[1], 3))[0].error == ""
    assert gateway.metric("mqtt_events_total", event="callback_errors") == 0


def test_a_message_cannot_choose_where_the_gateway_publishes(
    gateway: GatewayProcess, device: DeviceEnd, device_side: DeviceSide, broker: Broker
) -> None:
    with DeviceEnd(broker, device="victim") as victim:
        request = device_side.request(spectra(1)[0], 1)
        device.send(request, response_topic=victim.topics.result)
        wait_until(lambda: device.results, "answered on its own topic")
        assert gateway.metric("errors_total", reason="response_topic") == 1
        assert victim.results == []


def test_health_and_metrics_say_what_happened(
    gateway: GatewayProcess, device: DeviceEnd, device_side: DeviceSide
) -> None:
    results = device.ask(*(device_side.request(x, i) for i, x in enumerate(spectra(20))))
    bundle = device_side.bundle.bundle_id
    assert gateway.ready["bundles"] == [{"id": bundle, "name": "hand", "version": 1}]
    assert gateway.ready["pid"] == gateway.pid
    assert gateway.get("/healthz") == (200, '{"status": "ok", "reasons": []}\n')
    assert gateway.metric("requests_total", bundle=bundle, split="1") == 20
    for index in (2, 3):
        count = sum(result.exit_index == index for result in results)
        assert gateway.metric("results_total", bundle=bundle, exit=str(index)) == count
    assert gateway.metric("broker_connected") == 1
    assert gateway.metric("queue_depth") == 0
    assert gateway.metric("queue_seconds_count") == 20
    assert gateway.metric("batch_size_sum", segment="2") == 20
    assert gateway.metric("batch_size_sum", segment="3") == sum(result.exit_index == 3 for result in results)
    for segment in ("2", "3"):
        calls = gateway.metric("batch_size_count", segment=segment)
        assert gateway.metric("segment_seconds_count", segment=segment) == calls
    assert gateway.get("/nothing")[0] == 404


def test_a_stranger_cannot_reach_another_devices_answers_by_its_number(
    gateway: GatewayProcess, device: DeviceEnd, device_side: DeviceSide, bundle_path: Path, broker: Broker
) -> None:
    spectrum = spectra(1)[0]
    device.ask(device_side.request(spectrum, 1))
    with DeviceEnd(broker, device="stranger") as other:
        [result] = other.ask(DeviceSide(bundle_path, device="stranger").request(spectrum, 1))
    assert result.device == "stranger"
    assert gateway.metric("duplicates_total") == 0
