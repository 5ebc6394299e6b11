"""A serial line that carries garbage and half lines, and an instrument that is unplugged."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
from support_broker import Broker
from support_gateway import GatewayProcess
from support_path import Board, Node, check_answers, make_recording, make_store

from device.spectrometers.faults import FaultInjector, FaultPlan

N = 160
FAULTS = "garbage=0.02,half=0.01,unplug@40"
SEED = 1


def faults_of(n: int) -> Counter[str]:
    """What the board will do wrong with this plan and seed until n spectra are served."""
    injector = FaultInjector(FaultPlan.parse(FAULTS), np.random.default_rng(SEED))
    faults: Counter[str] = Counter()
    served = 0
    while served < n:
        fault = injector.next_fault(served)
        if fault == "garbage":
            injector.garbage()
        if fault:
            faults[fault] += 1
        else:
            served += 1
    return faults


def test_faults_of_the_serial_line_cost_no_spectrum(broker: Broker, tmp_path: Path) -> None:
    recording, faults = make_recording(N), faults_of(N)
    assert min(faults[kind] for kind in ("garbage", "half", "unplug")) >= 1, faults
    with (
        GatewayProcess(make_store(tmp_path), broker),
        Board(recording, tmp_path, "--faults", FAULTS, "--seed", SEED) as board,
        Node(tmp_path, broker, board, spectrometer__interval_s=0) as node,
    ):
        node.finish()
    check_answers(node, recording)
    counted = node.summary["spectrometer"]
    assert counted["read"] == N
    assert counted["half_line"] == faults["half"]
    assert counted["failed_readings"] == faults["garbage"] + faults["half"]
    assert counted["lost"] == counted["reopened"] == faults["unplug"]
