"""The whole path with a spectrometer that speaks another protocol, with wrong checksums, refusals and a replug."""

from __future__ import annotations

from pathlib import Path

from support_broker import Broker
from support_gateway import GatewayProcess
from support_path import Board, Node, check_answers, make_recording, make_store

N = 160
FAULTS = "checksum@5,refuse@10,half@15,stammer@20,unplug@30"


def test_faults_of_a_binary_protocol_cost_no_spectrum(broker: Broker, tmp_path: Path) -> None:
    recording = make_recording(N)
    with (
        GatewayProcess(make_store(tmp_path), broker),
        Board(recording, tmp_path, "--protocol", "ocean-binary", "--faults", FAULTS) as board,
        Node(tmp_path, broker, board, spectrometer__driver="ocean-binary", spectrometer__interval_s=0) as node,
    ):
        node.finish()
    check_answers(node, recording)
    counted = node.summary["spectrometer"]
    assert counted["read"] == N
    assert (counted["checksum"], counted["refused"], counted["half_line"]) == (1, 1, 1)
    assert counted["lost"] == counted["reopened"] == 1
