"""A gateway process and devices on a broker that lets in certificates of its authority only."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from support_broker import wait_until
from support_bundle import DeviceSide, make_bundle, spectra
from support_gateway import DeviceEnd, GatewayProcess, run_cli
from support_secured import SecuredBroker, as_environment, write_config

from gateway.broker_config.certificates import new_authority, read_authority

CLIENTS = ("--device", "lab/probe-1", "--device", "lab/probe-2", "--gateway", "gateway-1", "--operator", "anna")


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredBroker]:
    folder = tmp_path_factory.mktemp("secured")
    with SecuredBroker(folder, "--tls", "--server-name", "gateway.local", *CLIENTS, "--no-check") as broker:
        yield broker


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    make_bundle(folder / "hand" / "1" / "model.specnet")
    return folder


@pytest.fixture
def device_side(store: Path) -> DeviceSide:
    return DeviceSide(store / "hand" / "1" / "model.specnet")


@pytest.fixture(scope="module")
def gateway(secured: SecuredBroker, store: Path) -> Iterator[GatewayProcess]:
    environment = as_environment(secured.client("gateways/gateway-1"))
    with GatewayProcess(store, secured, **environment) as process:
        process.wait_healthy()
        yield process


def selftest(store: Path, broker: SecuredBroker, settings: dict[str, object]) -> dict[str, dict[str, object]]:
    done = run_cli(
        "selftest", "--store", store, "--broker", f"{broker.host}:{broker.port}", "--json", **as_environment(settings)
    )
    document = json.loads(done.stdout)
    assert done.returncode == (0 if document["passed"] else 1)
    return {check["what"].partition(" 127")[0]: check for check in document["checks"]}


def test_a_device_with_its_certificate_is_answered(
    secured: SecuredBroker, gateway: GatewayProcess, device_side: DeviceSide
) -> None:
    spectrum = spectra(1)[0]
    with DeviceEnd(secured, device="probe-1", **secured.client("devices/lab/probe-1")) as device:
        [result] = device.ask(device_side.request(spectrum, 1))
    assert (result.error, result.label) == ("", device_side.expected(spectrum).label)


def test_a_device_with_the_certificate_of_another_cannot_ask_or_listen_in_its_name(
    secured: SecuredBroker, gateway: GatewayProcess, device_side: DeviceSide
) -> None:
    gateway.mark()
    measured = spectra(2)
    with (
        DeviceEnd(secured, device="probe-1", **secured.client("devices/lab/probe-1")) as device,
        DeviceEnd(secured, device="probe-1", **secured.client("devices/lab/probe-2")) as impostor,
    ):
        impostor.send(device_side.request(measured[0], 100))
        wait_until(lambda: impostor.session.counters["refused"], "the publish is refused")
        device.ask(device_side.request(measured[1], 101))
        assert gateway.metric("requests_total") == 1
        assert impostor.results == []
        assert not device.results_of(device_side.request(measured[0], 100))


def test_a_client_that_is_added_or_removed_counts_after_a_signal(
    secured: SecuredBroker, gateway: GatewayProcess, store: Path
) -> None:
    write_config(secured.files, "--device", "lab/probe-9", "--no-check")
    os.kill(secured.pid, signal.SIGHUP)
    side = DeviceSide(store / "hand" / "1" / "model.specnet", device="probe-9")
    with DeviceEnd(secured, device="probe-9", **secured.client("devices/lab/probe-9")) as device:
        assert device.ask(side.request(spectra(1)[0], 1))[0].error == ""
        write_config(secured.files, "--remove", "lab/probe-9", "--no-check")
        os.kill(secured.pid, signal.SIGHUP)

        def is_shut_out() -> bool:
            device.send(side.request(spectra(1)[0], 2))
            return device.session.flush(10) and device.session.counters["refused"] > 0

        wait_until(is_shut_out, "the rules are read again")


def test_selftest_passes_with_the_files_that_were_written(secured: SecuredBroker, store: Path) -> None:
    checks = selftest(store, secured, secured.client("gateways/gateway-1"))
    assert all(check["passed"] for check in checks.values())
    assert "CN=gateway-1, until 20" in checks["own certificate"]["detail"]


def test_selftest_names_an_authority_that_is_not_the_brokers(
    secured: SecuredBroker, store: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.pem"
    other.write_bytes(new_authority().certificate)
    checks = selftest(store, secured, {**secured.client("gateways/gateway-1"), "ca_file": str(other)})
    assert not checks["broker"]["passed"]
    assert "certificate verify failed" in checks["broker"]["detail"]


def test_selftest_names_a_certificate_that_has_ended_and_the_brokers_answer_to_it(
    secured: SecuredBroker, store: Path, tmp_path: Path
) -> None:
    settings = expired(secured, tmp_path)
    checks = selftest(store, secured, settings)
    assert not checks["own certificate"]["passed"]
    assert "CN=gateway-1, ended on 20" in checks["own certificate"]["detail"]
    assert not checks["broker"]["passed"]


def test_selftest_names_a_missing_key_and_one_of_another_certificate(
    secured: SecuredBroker, store: Path, tmp_path: Path
) -> None:
    own = secured.client("gateways/gateway-1")
    checks = selftest(store, secured, {**own, "key_file": str(tmp_path / "missing.key")})
    for what in ("own key", "broker"):
        assert not checks[what]["passed"]
        assert "missing.key" in checks[what]["detail"]
        assert "No such file" in checks[what]["detail"]
    other = secured.client("devices/lab/probe-1")["key_file"]
    assert "does not belong to" in selftest(store, secured, {**own, "key_file": other})["own key"]["detail"]


def test_the_log_of_a_gateway_names_what_is_wrong(secured: SecuredBroker, store: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    other.write_bytes(new_authority().certificate)
    wrong_authority = {**secured.client("gateways/gateway-1"), "ca_file": str(other)}
    with GatewayProcess(store, secured, **as_environment(wrong_authority)) as gateway:
        wait_until(lambda: "certificate verify failed" in gateway.log, "the log names the authority")
    with GatewayProcess(store, secured, **as_environment(expired(secured, tmp_path))) as gateway:
        wait_until(lambda: "client.pem ended on 20" in gateway.log, "the log names the date")
        wait_until(lambda: "cannot connect" in gateway.log, "and that there is no connection")
    missing = as_environment({**secured.client("gateways/gateway-1"), "key_file": str(tmp_path / "no.key")})
    done = run_cli("serve", "--store", store, "--broker", f"{secured.host}:{secured.port}", **missing)
    assert done.returncode == 2
    assert f"key_file '{tmp_path}/no.key' cannot be read: No such file" in done.stderr


def expired(broker: SecuredBroker, folder: Path) -> dict[str, object]:
    """Settings with a certificate of the gateway that ended half a day ago."""
    authority = read_authority(broker.files / "tls/ca.pem", broker.files / "tls/ca.key")
    issued = authority.issue_client("gateway-1", -0.5)
    (folder / "client.pem").write_bytes(issued.certificate)
    (folder / "client.key").write_bytes(issued.key)
    files = {"cert_file": str(folder / "client.pem"), "key_file": str(folder / "client.key")}
    return {**broker.client("gateways/gateway-1"), **files}
