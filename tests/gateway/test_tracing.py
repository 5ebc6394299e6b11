"""One request followed by its id through the log of a real process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support_broker import Broker, wait_until
from support_bundle import DeviceSide, spectra
from support_gateway import DeviceEnd, GatewayProcess


@pytest.fixture
def device(broker: Broker) -> Iterator[DeviceEnd]:
    with DeviceEnd(broker) as end:
        yield end


def steps_of(log: str, request_id: str) -> list[dict[str, Any]]:
    documents = [json.loads(line) for line in log.splitlines()]
    return [document for document in documents if document.get("request") == request_id]


def test_a_request_is_followed_from_its_arrival_to_its_result(
    store: Path, broker: Broker, device: DeviceEnd, device_side: DeviceSide
) -> None:
    first, second = (device_side.request(x, i + 1) for i, x in enumerate(spectra(2)))
    with GatewayProcess(store, broker, "--log-format", "json", "--log-level", "debug") as gateway:
        gateway.wait_healthy()
        [result, _] = device.ask(first, second)
        device.send(first)
        gateway.wait_metric("results_resent_total", 1)
        assert gateway.terminate() == 0
    steps = steps_of(gateway.log, first.request_id)
    session = [step for step in steps if step["logger"] == "gateway.session"]
    assert [step["message"] for step in session] == [
        "a request has come",
        "the request is queued",
        "a request is answered",
        "a request has come",
        "the request is a repeated one",
    ]
    for step in steps:
        assert (step["level"], step["site"], step["device"], step["bundle"]) == (
            "debug",
            "lab",
            "probe-1",
            first.bundle,
        )
    assert session[2]["exit"] == result.exit_index
    assert session[2]["ms"] > 0
    assert session[4]["answered"] is True
    assert len(steps_of(gateway.log, second.request_id)) >= 3


def test_a_refused_request_says_why_with_id_device_bundle_and_reason(
    store: Path, broker: Broker, device: DeviceEnd, device_side: DeviceSide
) -> None:
    unknown = msgspec.structs.replace(device_side.request(spectra(1)[0], 1), bundle="0123456789abcdef")
    with GatewayProcess(store, broker, SPECNET_GATEWAY_LOG__FORMAT="json") as gateway:
        gateway.wait_healthy()
        device.ask(unknown)
        device.send(unknown)
        gateway.wait_metric("errors_total", 2, reason="unknown_bundle")
        wait_until(lambda: len(device.results) >= 2, "both attempts are answered")
        assert gateway.terminate() == 0
    # the second attempt comes within the interval of the first one's line
    [line] = steps_of(gateway.log, unknown.request_id)
    assert line["message"] == "a message was refused"
    assert (line["level"], line["reason"], line["site"], line["device"], line["bundle"]) == (
        "warning",
        "unknown_bundle",
        "lab",
        "probe-1",
        "0123456789abcdef",
    )
    assert "0123456789abcdef is not served" in line["error"]


def test_below_its_level_nothing_is_logged(
    store: Path, broker: Broker, device: DeviceEnd, device_side: DeviceSide
) -> None:
    with GatewayProcess(store, broker, "--log-level", "warning") as gateway:
        device.ask(device_side.request(spectra(1)[0], 1))
        assert gateway.terminate() == 0
    assert gateway.log == ""
