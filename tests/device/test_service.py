from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support_broker import Broker, Inbox, connected_session, wait_until
from support_device import DeviceProcess, EchoGateway, result_for, serving

from device.classifier import LocalAnswer, LocalClassifier
from device.spectrometers.axis import PixelAxis
from device.spectrometers.faults import FaultPlan
from device.spectrometers.simulator import SimulatedBoard
from specnet.bundle import Bundle
from specnet.wire import Answer, Command, Unanswered, decode, encode

SPLIT = 1


@pytest.fixture(scope="module")
def local_answers(bundle: Bundle, intensity: NDArray[np.uint16]) -> list[LocalAnswer]:
    axis = bundle.source_axis
    local = LocalClassifier(bundle, PixelAxis(axis, np.arange(axis.n_points)), SPLIT)
    answers = [local.classify(row) for row in intensity]
    assert all(isinstance(answer, LocalAnswer) for answer in answers)
    return [answer for answer in answers if isinstance(answer, LocalAnswer)]


@contextmanager
def board_of(spectra: NDArray[np.uint16], folder: Path, faults: str = "", *, loop: bool = False) -> Iterator[Path]:
    link = folder / "spectrometer"
    board = SimulatedBoard(spectra.astype(np.uint32), link=link, faults=FaultPlan.parse(faults), loop=loop)
    with serving(board):
        yield link


def device(
    folder: Path, bundle: Path, broker: Broker, port: Path, *options: object, **settings: object
) -> DeviceProcess:
    defaults = {
        "device": "node-1",
        "site": "lab",
        "seed": 1,
        "split": SPLIT,
        "spectrometer.timeout_s": 1.0,
        "uplink.retry_s": 0.2,
        "uplink.retry_max_s": 0.5,
        "broker.reconnect_min_s": 0.05,
        "broker.reconnect_max_s": 0.2,
    }
    chosen = {**defaults, **{name.replace("__", "."): value for name, value in settings.items()}}
    assignments = [item for name, value in chosen.items() for item in ("--set", f"{name}={value}")]
    return DeviceProcess(
        "run",
        "--bundle",
        bundle,
        "--state-dir",
        folder / "state",
        "--port",
        port,
        "--broker",
        f"{broker.host}:{broker.port}",
        *assignments,
        *options,
    )


@contextmanager
def gateway_at(broker: Broker, label: int = 1) -> Iterator[EchoGateway]:
    gateway = EchoGateway(broker, label=label)
    try:
        yield gateway
    finally:
        gateway.stop()


def check_accounts(summary: dict[str, Any]) -> dict[str, int]:
    """Each recorded spectrum is in exactly one place."""
    accounts = dict(summary["accounts"])
    recorded = accounts.pop("recorded")
    assert recorded == sum(accounts.values())
    assert accounts["open"] == 0
    return accounts


def finals(process: DeviceProcess) -> list[dict[str, Any]]:
    return [record for record in process.of_type("answer") if record["final"]]


def test_every_spectrum_is_answered_once_by_whoever_should(
    broker: Broker,
    tmp_path: Path,
    tiny_bundle: Path,
    intensity: NDArray[np.uint16],
    local_answers: list[LocalAnswer],
) -> None:
    inbox = Inbox()
    watcher = connected_session(broker, "watcher", "specnet/v1/lab/node-1/answer", on_message=inbox)
    with (
        board_of(intensity[:60], tmp_path) as port,
        gateway_at(broker) as gateway,
        device(tmp_path, tiny_bundle, broker, port) as process,
    ):
        assert process.wait() == 0, process.errors
    records = sorted(finals(process), key=lambda record: record["sequence"])
    assert [record["sequence"] for record in records] == list(range(60))
    for record, local in zip(records, local_answers[:60], strict=True):
        assert record["source"] == ("device" if local.confident else "gateway")
        assert record["label"] == (local.label if local.confident else 1)
        assert record["macs"] == local.macs
        assert record["gateway_macs"] == (0 if local.confident else 1000)
        assert (record["bytes"] > 0) is not local.confident
        assert record["latency_ms"] > 0
    uncertain = sum(not local.confident for local in local_answers[:60])
    assert 0 < uncertain < 60, "the fixture should have both kinds of spectra"
    assert len(gateway.requests) == uncertain
    [summary] = process.of_type("summary")
    counted = {name: summary[name] for name in ("spectra", "local", "gateway", "rejected", "dropped", "lost")}
    assert counted == {
        "spectra": 60,
        "local": 60 - uncertain,
        "gateway": uncertain,
        "rejected": 0,
        "dropped": 0,
        "lost": 0,
    }
    assert process.records[-1] == summary
    assert check_accounts(summary)["answered"] == 60
    published = [decode(Answer, message.payload) for message in inbox.wait(60)]
    assert sorted(answer.sequence for answer in published if answer.final) == list(range(60))
    watcher.stop()


def test_faults_of_the_instrument_cost_no_spectrum_and_do_not_shift_them(
    broker: Broker,
    tmp_path: Path,
    tiny_bundle: Path,
    intensity: NDArray[np.uint16],
    local_answers: list[LocalAnswer],
) -> None:
    faults = "garbage=0.05,garbage@0,half@4,unplug@9,unplug@20"
    with (
        board_of(intensity[:30], tmp_path, faults) as port,
        gateway_at(broker),
        device(tmp_path, tiny_bundle, broker, port) as process,
    ):
        assert process.wait() == 0, process.errors
    records = sorted(finals(process), key=lambda record: record["sequence"])
    assert [record["macs"] for record in records] == [local.macs for local in local_answers[:30]]
    [summary] = process.of_type("summary")
    assert summary["spectrometer"]["reopened"] >= 2
    assert summary["spectrometer"]["failed_readings"] >= 2


def test_spectra_that_cannot_be_judged_are_rejected_by_name(
    broker: Broker, tmp_path: Path, tiny_bundle: Path, intensity: NDArray[np.uint16]
) -> None:
    spectra = intensity[:3].copy()
    spectra[0] = 0
    spectra[1, 5] = 65_535
    inbox = Inbox()
    watcher = connected_session(broker, "watcher", "specnet/v1/+/+/unanswered", on_message=inbox)
    with (
        board_of(spectra, tmp_path) as port,
        gateway_at(broker),
        device(tmp_path, tiny_bundle, broker, port) as process,
    ):
        assert process.wait() == 0
    told = [decode(Unanswered, message.payload) for message in inbox.wait(2)]
    watcher.stop()
    assert {one.sequence: (one.outcome, one.reason) for one in told} == {
        record["sequence"]: ("rejected", record["reason"]) for record in process.of_type("rejected")
    }
    reasons = {record["sequence"]: record["reason"] for record in process.of_type("rejected")}
    assert set(reasons) == {0, 1}
    assert "zero" in reasons[0]
    assert "saturated" in reasons[1]
    assert [record["sequence"] for record in finals(process)] == [2]


def test_killed_and_restarted_it_finishes_what_it_began(
    broker: Broker, tmp_path: Path, tiny_bundle: Path, intensity: NDArray[np.uint16], local_answers: list[LocalAnswer]
) -> None:
    uncertain = sum(not local.confident for local in local_answers[:40])
    settings = {"uplink__deadline_s": 0.05, "spectrometer__interval_s": 0.001, "stop_at_end": "false"}
    with (
        board_of(intensity[:40], tmp_path) as port,
        device(tmp_path, tiny_bundle, broker, port, **settings) as process,
    ):
        process.wait_for(lambda: len(process.of_type("provisional")) >= uncertain // 2, "half of the deadlines passed")
        process.signal(signal.SIGKILL)
        process.wait()
    provisional = {(record["boot"], record["sequence"]) for record in process.of_type("provisional")}
    with (
        board_of(intensity[40:42], tmp_path) as port,
        gateway_at(broker),
        device(tmp_path, tiny_bundle, broker, port) as again,
    ):
        assert again.wait() == 0, again.errors
    answered = Counter((record["boot"], record["sequence"]) for record in finals(again))
    assert set(answered.values()) == {1}
    assert provisional <= set(answered)
    assert {boot for boot, _ in answered} == {1, 2}
    assert again.of_type("ready")[0]["pending"] >= len(provisional)
    of_boot_1 = [record for record in finals(again) if record["boot"] == 1 and "repeated" not in record["flags"]]
    assert all(record["latency_ms"] is None for record in of_boot_1)
    assert (again.of_type("ready")[0]["after"], again.of_type("ready")[0]["may_be_missing"]) == ("killed", 0)
    [summary] = again.of_type("summary")
    assert summary["lost"] == 0
    check_accounts(summary)


def test_a_broker_that_stops_and_starts_loses_nothing(
    broker: Broker, tmp_path: Path, tiny_bundle: Path, intensity: NDArray[np.uint16]
) -> None:
    settings = {"uplink__deadline_s": 0.2, "spectrometer__interval_s": 0.01}
    with (
        board_of(intensity[:60], tmp_path) as port,
        gateway_at(broker),
        device(tmp_path, tiny_bundle, broker, port, **settings) as process,
    ):
        process.wait_for(lambda: len(finals(process)) >= 10, "ten answers")
        broker.kill()
        process.wait_for(lambda: process.of_type("provisional"), "a provisional answer while the broker is away")
        broker.start()
        assert process.wait(60) == 0, process.errors
    answered = Counter(record["sequence"] for record in finals(process))
    assert answered == Counter(range(60))


def test_it_ends_on_a_signal_with_a_summary_and_keeps_what_is_pending(
    broker: Broker, tmp_path: Path, tiny_bundle: Path, intensity: NDArray[np.uint16]
) -> None:
    with (
        board_of(intensity, tmp_path, loop=True) as port,
        device(tmp_path, tiny_bundle, broker, port, spectrometer__interval_s=0.005) as process,
    ):
        process.wait_for(lambda: len(finals(process)) >= 5, "five answers")
        process.signal(signal.SIGTERM)
        assert process.wait() == 0, process.errors
        [summary] = process.of_type("summary")
        assert summary["lost"] > 0
    with (
        board_of(intensity[:1], tmp_path) as port,
        gateway_at(broker),
        device(tmp_path, tiny_bundle, broker, port) as again,
    ):
        assert again.wait() == 0
    assert again.of_type("ready")[0]["pending"] == summary["lost"]
    assert again.of_type("summary")[0]["lost"] == 0


def test_errors_of_the_gateway_leave_the_own_answer_standing(
    broker: Broker, tmp_path: Path, tiny_bundle: Path, intensity: NDArray[np.uint16], local_answers: list[LocalAnswer]
) -> None:
    row = next(i for i, local in enumerate(local_answers) if not local.confident)
    with (
        board_of(intensity[row : row + 1], tmp_path) as port,
        gateway_at(broker) as gateway,
    ):
        gateway.answer = lambda request: [encode(result_for(request, error="overloaded"))]
        with device(tmp_path, tiny_bundle, broker, port, "--once") as process:
            assert process.wait() == 0
    [record] = finals(process)
    assert (record["source"], record["error"], record["flags"]) == ("device", "overloaded", ["gateway_error"])
    assert (record["label"], record["exit"]) == (local_answers[row].label, local_answers[row].exit_index)


def test_commands_change_operating_point_and_audit_rate(
    broker: Broker, tmp_path: Path, tiny_bundle: Path, intensity: NDArray[np.uint16]
) -> None:
    with (
        board_of(intensity, tmp_path, loop=True) as port,
        gateway_at(broker) as gateway,
        device(tmp_path, tiny_bundle, broker, port, spectrometer__interval_s=0.005) as process,
    ):
        process.wait_for(lambda: finals(process), "the first answer")
        wait_until(lambda: gateway.requests, "the device is connected")
        topic = "specnet/v1/lab/node-1/cmd"
        gateway.publish(topic, encode(Command(operating_point="no such point")))
        gateway.publish(topic, encode(Command(operating_point="default", audit_rate=1.0)))
        gateway.publish(topic, b"nonsense")
        gateway.publish(topic, encode(Command(restart_acquisition=True, id="again")))
        process.wait_for(lambda: len(process.of_type("command")) == 4, "all commands")
        process.wait_for(lambda: len(finals(process)) > 5, "answers after the spectrometer was opened again")
        # answers to the first of several have come back when the last arrives
        wait_until(lambda: sum(request.audit for request in gateway.requests) >= 10, "audit samples arrive")
        process.signal(signal.SIGINT)
        assert process.wait() == 0
    commands = process.of_type("command")
    assert [record["obeyed"] for record in commands] == [False, True, False, True]
    assert "no such point" in commands[0]["reason"]
    assert (commands[3]["restart_acquisition"], commands[3]["id"]) == (True, "again")
    [summary] = process.of_type("summary")
    assert (summary["commands"], summary["commands_refused"]) == (2, 2)
    assert summary["spectrometer"]["restarted"] == summary["spectrometer"]["reopened"] == 1
    assert summary["spectrometer"].get("lost", 0) == 0
    audits = [request for request in gateway.requests if request.audit]
    assert all(
        request.provisional is not None and request.split == request.provisional.exit_index for request in audits
    )
    counters = process.of_type("summary")[0]["uplink"]
    assert counters.get("audit_agreed", 0) + counters.get("audit_disagreed", 0) > 0


def test_at_the_last_split_nothing_is_sent_and_no_broker_is_needed(
    broker: Broker, tmp_path: Path, tiny_bundle: Path, bundle: Bundle, intensity: NDArray[np.uint16]
) -> None:
    broker.stop()
    with (
        board_of(intensity[:10], tmp_path) as port,
        device(tmp_path, tiny_bundle, broker, port, split=bundle.manifest.n_stages) as process,
    ):
        assert process.wait() == 0
    assert [record["source"] for record in finals(process)] == ["device"] * 10
    assert process.of_type("summary")[0]["lost"] == 0
