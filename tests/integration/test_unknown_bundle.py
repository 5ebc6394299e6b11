"""A device asks for a model that the gateway does not have."""

from __future__ import annotations

from pathlib import Path

from support_broker import Broker
from support_bundle import make_bundle
from support_gateway import GatewayProcess
from support_path import Board, Node, make_recording

N = 40


def test_the_devices_own_answer_stands_and_both_sides_count(any_broker: Broker, tmp_path: Path) -> None:
    recording = make_recording(N)
    make_bundle(tmp_path / "store" / "hand" / "1" / "model.specnet")
    with (
        GatewayProcess(tmp_path / "store", any_broker) as gateway,
        Board(recording, tmp_path) as board,
    ):
        gateway.wait_healthy()
        with Node(tmp_path, any_broker, board, spectrometer__interval_s=0) as node:
            node.finish()
        uncertain = set(recording.uncertain)
        assert gateway.metric("errors_total", reason="unknown_bundle") >= len(uncertain)
        assert gateway.metric("results_total") == 0
        assert gateway.running
    finals = {record["sequence"]: record for record in node.finals}
    assert sorted(finals) == list(range(N))
    assert len(node.finals) == N
    for index, record in finals.items():
        own = recording.local[index]
        assert (record["label"], record["exit"]) == (own.label, own.exit_index)
        assert ("is not served" in str(record)) == (index in uncertain)
    assert node.summary["gateway_errors"] == len(uncertain)
    assert node.summary["lost"] == 0
