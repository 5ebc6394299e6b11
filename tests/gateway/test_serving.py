"""Gateway processes of several kinds: bad and late bundles, no bundle, another broker, replicas."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support_broker import Broker
from support_bundle import DeviceSide, make_bundle, spectra
from support_gateway import DeviceEnd, GatewayProcess

from gateway.residency import estimated_bytes
from specnet.exits import ExitPolicy
from specnet.signing import generate_key, read_private_key, sign_bundle, signature_path, write_signature


@pytest.fixture
def device(broker: Broker) -> Iterator[DeviceEnd]:
    with DeviceEnd(broker) as end:
        yield end


def test_the_answer_carries_the_correlation_and_the_gateways_name(
    store: Path, broker: Broker, device: DeviceEnd, device_side: DeviceSide
) -> None:
    with GatewayProcess(store, broker, "--name", "bench-7"):
        request = device_side.request(spectra(1)[0], 3)
        [result] = device.ask(request)
    assert result.gateway == "bench-7"
    assert device.inbox.messages[0].correlation == request.request_id.encode()
    assert device.inbox.messages[0].topic == "specnet/v1/lab/probe-1/result"


def test_a_payload_over_the_limit_is_not_decoded(
    store: Path, broker: Broker, device: DeviceEnd, device_side: DeviceSide
) -> None:
    with GatewayProcess(store, broker, SPECNET_GATEWAY_MAX_REQUEST_BYTES="2000") as gateway:
        good = device_side.request(spectra(1)[0], 1)
        device.ask(good)
        device.send_raw(device.topics.offload(good.bundle, good.split), b"x" * 2001)
        gateway.wait_metric("errors_total", 1, reason="oversize")
        assert device.ask(device_side.request(spectra(1)[0], 2))[0].error == ""


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


def test_a_policy_that_never_leaves_early_runs_to_the_last_exit(
    tmp_path: Path, broker: Broker, device: DeviceEnd
) -> None:
    path = tmp_path / "store" / "last" / "1" / "model.specnet"
    make_bundle(path, policy=ExitPolicy(temperatures=(1.0,) * 4, thresholds=(2.0,) * 4, combiner="last"))
    side = DeviceSide(path)
    with GatewayProcess(tmp_path / "store", broker):
        results = device.ask(*(side.request(x, i, split=0) for i, x in enumerate(spectra(5))))
    assert {result.exit_index for result in results} == {3}


def test_a_bundle_that_was_unloaded_for_want_of_memory_comes_back_when_it_is_asked_for(
    store: Path, broker: Broker, device: DeviceEnd, device_side: DeviceSide
) -> None:
    newest = make_bundle(store / "hand" / "2" / "model.specnet", seed=4, version=2)
    limit = str(estimated_bytes(newest) * 3 // 2)
    with GatewayProcess(store, broker, SPECNET_GATEWAY_MAX_MODEL_BYTES=limit) as gateway:
        gateway.wait_healthy()
        assert [bundle["version"] for bundle in gateway.ready["bundles"]] == [2]
        measured = spectra(20)
        results = device.ask(*(device_side.request(x, i) for i, x in enumerate(measured)))
        # no error came in between: that would have been the device's last word
        assert {result.error for result in device.results} == {""}
        assert [result.label for result in results] == [device_side.expected(x).label for x in measured]
        assert gateway.metric("shed_total", reason="loading") >= 1
        assert gateway.metric("models_unloaded_total", reason="memory") == 1
        assert gateway.metric("models_loaded_total", precision="float32") == 2
        assert 0 < gateway.metric("model_bytes") <= int(limit)


def test_only_signed_bundles_are_served_where_keys_are_trusted(
    store: Path, tmp_path: Path, broker: Broker, device: DeviceEnd, device_side: DeviceSide
) -> None:
    stranger = store / "hand" / "2" / "model.specnet"
    make_bundle(stranger, seed=4, version=2)
    unsigned = DeviceSide(stranger)
    generate_key(tmp_path / "release.key", tmp_path / "trust" / "release.pem")
    signed = store / "hand" / "1" / "model.specnet"
    write_signature(signature_path(signed), sign_bundle(signed, read_private_key(tmp_path / "release.key")))
    with GatewayProcess(store, broker, "--trust", str(tmp_path / "trust")) as gateway:
        assert [bundle["version"] for bundle in gateway.ready["bundles"]] == [1]
        assert gateway.metric("bad_bundles_total") == 1
        spectrum = spectra(1)[0]
        assert device.ask(device_side.request(spectrum, 1))[0].error == ""
        assert "is not served" in device.ask(unsigned.request(spectrum, 2))[0].error
