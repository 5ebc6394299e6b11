"""Spectrometer, device, broker and gateway as real processes, and SIGKILL for those that may die."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support_broker import Broker
from support_gateway import GatewayProcess
from support_path import Board, Node, check_answers, make_recording, make_store

N = 120


def kill_gateway(broker: Broker, gateway: GatewayProcess) -> None:
    gateway.kill()


def kill_broker(broker: Broker, gateway: GatewayProcess) -> None:
    broker.kill()


def kill_both(broker: Broker, gateway: GatewayProcess) -> None:
    gateway.kill()
    broker.kill()


def revive(broker: Broker, gateway: GatewayProcess) -> None:
    broker.start()
    if not gateway.running:
        gateway.start()


@pytest.mark.parametrize("split", [0, 1, 2])
def test_every_spectrum_gets_the_predictors_answer_at_any_split(broker: Broker, tmp_path: Path, split: int) -> None:
    recording = make_recording(N, split=split)
    with (
        GatewayProcess(make_store(tmp_path), broker) as gateway,
        Board(recording, tmp_path) as board,
    ):
        gateway.wait_healthy()
        with Node(tmp_path, broker, board, split=split, spectrometer__interval_s=0) as node:
            node.finish()
        assert gateway.metric("requests_total") == len(recording.uncertain)
        assert gateway.metric("errors_total") == 0
    check_answers(node, recording)


@pytest.mark.parametrize("kill", [kill_gateway, kill_broker, kill_both])
def test_a_process_killed_in_the_middle_costs_no_answer(
    any_broker: Broker, tmp_path: Path, kill: Callable[[Broker, GatewayProcess], None]
) -> None:
    recording = make_recording(N)
    with (
        GatewayProcess(make_store(tmp_path), any_broker) as gateway,
        Board(recording, tmp_path) as board,
        Node(tmp_path, any_broker, board) as node,
    ):
        node.is_under_way()
        kill(any_broker, gateway)
        assert len(node.finals) < N, "it was killed too late to matter"
        node.misses_an_answer()
        revive(any_broker, gateway)
        node.finish()
    check_answers(node, recording)
    assert node.summary["provisional"] >= 1
    if kill is kill_gateway:
        assert node.summary["uplink"]["sent_again"] >= 1
    else:
        assert node.summary["uplink"]["mqtt_connects"] >= 2


def test_broker_and_gateway_may_come_after_the_device(any_broker: Broker, tmp_path: Path) -> None:
    recording = make_recording(N)
    any_broker.stop()
    gateway = GatewayProcess(make_store(tmp_path), any_broker)
    with (
        Board(recording, tmp_path) as board,
        Node(tmp_path, any_broker, board, spectrometer__interval_s=0) as node,
    ):
        waiting = len(recording.uncertain)
        node.wait_for(lambda: len(node.of_type("provisional")) == waiting, "all uncertain spectra are overdue")
        assert not node.from_gateway
        any_broker.start()
        with gateway:
            node.finish()
    check_answers(node, recording)


def test_a_replica_that_is_killed_leaves_its_share_to_the_other(broker: Broker, tmp_path: Path) -> None:
    recording, store = make_recording(N), make_store(tmp_path)
    with (
        GatewayProcess(store, broker, "--name", "first") as first,
        GatewayProcess(store, broker, "--name", "second") as second,
        Board(recording, tmp_path) as board,
    ):
        first.wait_healthy()
        second.wait_healthy()
        with Node(tmp_path, broker, board) as node:
            first.wait_metric("results_total", 3)
            second.wait_metric("results_total", 3)
            first.kill()
            assert len(node.finals) < N, "it was killed too late to matter"
            node.finish()
        assert second.metric("results_total") >= len(recording.uncertain) // 2
    check_answers(node, recording)
