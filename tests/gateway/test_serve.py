"""A gateway process with a real broker: answers, duplicates, bad messages, monitoring."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from support_broker import Broker, wait_until
from support_bundle import DeviceSide, make_bundle, spectra
from support_gateway import DeviceEnd, GatewayProcess, damaged

from specnet.codec import EncodedFeatures
from specnet.exits import ExitPolicy
from specnet.wire import encode


@pytest.fixture
def gateway(store: Path, broker: Broker) -> Iterator[GatewayProcess]:
    with GatewayProcess(store, broker) as process:
        process.wait_healthy()
        yield process


@pytest.fixture
def device(broker: Broker) -> Iterator[DeviceEnd]:
    with DeviceEnd(broker) as end:
        yield end


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


def test_the_answer_carries_the_correlation_and_the_gateways_name(
    store: Path, broker: Broker, device: DeviceEnd, device_side: DeviceSide
) -> None:
    with GatewayProcess(store, broker, "--name", "bench-7"):
        request = device_side.request(spectra(1)[0], 3)
        [result] = device.ask(request)
    assert result.gateway == "bench-7"
    assert device.inbox.messages[0].correlation == request.request_id.encode()
    assert device.inbox.messages[0].topic == "specnet/v1/lab/probe-1/result"


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
    import zlib

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
    device.send(msgspec.structs.replace(good, device="probe-2", sequence=2), topic=topic)
    device.send(msgspec.structs.replace(good, site="elsewhere", sequence=2), topic=topic)
    device.send_raw("specnet/v1/lab/probe-1/offload/x/99", encode(good))
    gateway.wait_metric("errors_total", 2, reason="malformed")
    gateway.wait_metric("errors_total", 1, reason="version")
    gateway.wait_metric("errors_total", 2, reason="foreign")
    gateway.wait_metric("errors_total", 1, reason="topic")
    assert len(device.results) == answered

    assert device.ask(device_side.request(spectra(2)[1], 3))[0].error == ""
    assert gateway.metric("mqtt_events_total", event="callback_errors") == 0


def test_a_payload_over_the_limit_is_not_decoded(
    store: Path, broker: Broker, device: DeviceEnd, device_side: DeviceSide
) -> None:
    with GatewayProcess(store, broker, SPECNET_GATEWAY_MAX_REQUEST_BYTES="2000") as gateway:
        good = device_side.request(spectra(1)[0], 1)
        device.ask(good)
        device.send_raw(device.topics.offload(good.bundle, good.split), b"x" * 2001)
        gateway.wait_metric("errors_total", 1, reason="oversize")
        assert device.ask(device_side.request(spectra(1)[0], 2))[0].error == ""


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
    assert gateway.metric("batch_size_sum") == 20
    assert gateway.metric("segment_seconds_count", segment="2") == gateway.metric("batch_size_count")
    assert gateway.get("/nothing")[0] == 404


def test_one_bad_byte_keeps_a_bundle_out_of_service_and_the_good_one_serves(
    store: Path, broker: Broker, device: DeviceEnd, device_side: DeviceSide
) -> None:
    path = store / "hand" / "2" / "model.specnet"
    make_bundle(path, seed=4, version=2)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with GatewayProcess(store, broker) as gateway:
        assert [bundle["version"] for bundle in gateway.ready["bundles"]] == [1]
        assert gateway.metric("bad_bundles_total") == 1
        assert 'event="bundle skipped"' in gateway.log
        assert device.ask(device_side.request(spectra(1)[0], 1))[0].error == ""


def test_a_bundle_that_arrives_later_is_served_without_a_restart(
    store: Path, tmp_path: Path, broker: Broker, device: DeviceEnd
) -> None:
    with GatewayProcess(store, broker) as gateway:
        gateway.wait_healthy()
        later = tmp_path / "later.specnet"
        make_bundle(later, seed=8, version=2)
        (store / "hand" / "2").mkdir()
        later.rename(store / "hand" / "2" / "model.specnet")
        gateway.wait_metric("bundles", 2)
        side = DeviceSide(store / "hand" / "2" / "model.specnet")
        spectrum = spectra(1)[0]
        [result] = device.ask(side.request(spectrum, 1))
        assert result.label == side.expected(spectrum).label


def test_without_a_bundle_the_gateway_runs_but_is_not_healthy(tmp_path: Path, broker: Broker) -> None:
    (tmp_path / "empty").mkdir()
    with GatewayProcess(tmp_path / "empty", broker) as gateway:
        gateway.wait_metric("broker_connected")
        status, body = gateway.get("/healthz")
        assert status == 503
        assert json.loads(body)["reasons"] == [f"no bundle of store {str(tmp_path / 'empty')!r} is served"]


def test_a_broker_of_version_3_1_1_is_served_with_a_plain_subscription(
    store: Path, amqtt_broker: Broker, device_side: DeviceSide
) -> None:
    with GatewayProcess(store, amqtt_broker), DeviceEnd(amqtt_broker) as device:
        spectrum = spectra(1)[0]
        assert device.ask(device_side.request(spectrum, 1))[0].label == device_side.expected(spectrum).label


def test_two_gateways_of_a_group_share_the_requests(
    store: Path, broker: Broker, device: DeviceEnd, device_side: DeviceSide
) -> None:
    with GatewayProcess(store, broker) as one, GatewayProcess(store, broker) as two:
        one.wait_healthy()
        two.wait_healthy()
        # both subscriptions are certainly there once each has answered something
        sequence = 0
        while not (one.metric("requests_total") and two.metric("requests_total")):
            sequence += 1
            device.ask(device_side.request(spectra(1)[0], sequence))
        before = one.metric("requests_total") + two.metric("requests_total")
        device.ask(*(device_side.request(x, 1000 + i) for i, x in enumerate(spectra(40))))
        assert one.metric("requests_total") + two.metric("requests_total") - before == 40


def test_a_stranger_cannot_reach_another_devices_answers_by_its_number(
    gateway: GatewayProcess, device: DeviceEnd, device_side: DeviceSide, bundle_path: Path, broker: Broker
) -> None:
    spectrum = spectra(1)[0]
    device.ask(device_side.request(spectrum, 1))
    with DeviceEnd(broker, device="probe-2") as other:
        [result] = other.ask(DeviceSide(bundle_path, device="probe-2").request(spectrum, 1))
    assert result.device == "probe-2"
    assert gateway.metric("duplicates_total") == 0


def test_a_policy_that_never_leaves_early_runs_to_the_last_exit(
    tmp_path: Path, broker: Broker, device: DeviceEnd
) -> None:
    path = tmp_path / "store" / "last" / "1" / "model.specnet"
    make_bundle(path, policy=ExitPolicy(temperatures=(1.0,) * 4, thresholds=(2.0,) * 4, combiner="last"))
    side = DeviceSide(path)
    with GatewayProcess(tmp_path / "store", broker):
        results = device.ask(*(side.request(x, i, split=0) for i, x in enumerate(spectra(5))))
    assert {result.exit_index for result in results} == {3}
