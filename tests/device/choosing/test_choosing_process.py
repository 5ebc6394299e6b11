"""``specnet-device`` as a process with ``operating_point = "auto"``."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from support_broker import Broker
from support_device import ROOT, DeviceProcess, serving
from support_points import with_points
from support_profiles import device_profile

from device.choosing.energy_day import SPENT
from device.journal.journal import KEPT
from device.spectrometers.simulator import SimulatedBoard
from specnet.bundle import Bundle, write_bundle
from specnet.profiles import write_profile


@pytest.fixture(scope="module")
def tuned(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tuned") / "tuned.specnet"
    write_bundle(path, with_points(bundle.manifest), bundle.files)
    return path


def arguments(folder: Path, bundle: Path, **settings: object) -> list[str]:
    chosen = {"device": "n", "operating_point": "auto", **{k.replace("__", "."): v for k, v in settings.items()}}
    assignments = [item for name, value in chosen.items() for item in ("--set", f"{name}={value}")]
    return ["--bundle", str(bundle), "--state-dir", str(folder / "state"), *assignments]


def device(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "device", *words], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


def test_selftest_lists_the_points(tmp_path: Path, tuned: Path, tiny_bundle: Path) -> None:
    done = device("selftest", "--json", *arguments(tmp_path, tuned, broker__port=1))
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert checks["axis and split"]["passed"]
    assert checks["operating points"] == {
        "name": "operating points",
        "passed": True,
        "detail": "chosen by what is measured among "
        "chosen (split 1 int8, accuracy 95.0 %, 4000 bytes a request, round trips up to 500 ms); "
        "slow-link (split 2 int8, accuracy 90.0 %, 500 bytes a request, round trips up to 784 ms); "
        "local (split 3, accuracy 85.0 %)",
    }
    done = device("selftest", "--json", *arguments(tmp_path, tuned, broker__port=1, operating_point="slow-link"))
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert checks["operating points"]["detail"].startswith("slow-link in force; default (split 1 int8), ")
    done = device("selftest", "--json", *arguments(tmp_path, tiny_bundle, broker__port=1))
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert not checks["operating points"]["passed"]
    assert "export it again with --deployment" in checks["operating points"]["detail"]


def test_a_bundle_without_predictions_is_a_mistake_of_one_line(tmp_path: Path, tiny_bundle: Path) -> None:
    done = device("run", "--port", "/nowhere", *arguments(tmp_path, tiny_bundle))
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line.startswith("specnet-device: bundle tiny (")
    assert "does not say what its point 'chosen' takes" in line


def with_little_energy(folder: Path, bundle: Path, broker: Broker) -> list[str]:
    """A budget of what one or two spectra take."""
    watts = msgspec.structs.replace(device_profile(), active_watts=5.0, idle_watts=0.0, power="stated")
    return arguments(
        folder,
        bundle,
        broker__port=broker.port,
        spectrometer__interval_s=0.02,
        uplink__drain_s=0,
        choosing__daily_joules=0.001,
        choosing__device_profile=write_profile(folder / "device.json", watts),
        choosing__dwell_s=0.3,
        history__flush_s=0.05,
    )


def test_a_budget_that_is_used_up_moves_the_node_to_what_takes_least(
    broker: Broker, tmp_path: Path, tuned: Path, intensity: NDArray[np.uint16]
) -> None:
    options = with_little_energy(tmp_path, tuned, broker)
    with (
        serving(SimulatedBoard(intensity.astype(np.uint32), loop=True)) as board,
        DeviceProcess("run", "--port", board.port, "--count", "150", *options) as process,
    ):
        assert process.wait(60.0) == 0, process.errors
    [ready] = process.of_type("ready")
    assert ready["operating_point"] == "chosen"
    [change] = process.of_type("operating_point")
    assert (change["previous"], change["point"], change["split"]) == ("chosen", "local", 3)
    assert "0 mJ are left for each" in change["why"]
    assert change["measured"]["energy_left_j"] < 0 < change["measured"]["mj_per_spectrum"]
    later = [record for record in process.of_type("answer") if record["sequence"] >= change["sequence"]]
    assert later
    assert {record["source"] for record in later} == {"device"}


def test_what_was_spent_before_a_kill_counts_after_it(
    broker: Broker, tmp_path: Path, tuned: Path, intensity: NDArray[np.uint16]
) -> None:
    options = with_little_energy(tmp_path, tuned, broker)

    def spent_j() -> float:
        [path] = (tmp_path / "state").glob("outbox-*.sqlite")
        with sqlite3.connect(path) as connection:
            found = connection.execute("SELECT value FROM counters WHERE name = ?", (KEPT + SPENT,)).fetchone()
        connection.close()
        return 0.0 if found is None else float(found[0]) / 1e6

    with serving(SimulatedBoard(intensity.astype(np.uint32), loop=True)) as board:
        with DeviceProcess("run", "--port", board.port, *options) as process:
            process.wait_for(lambda: process.of_type("operating_point"), "the budget is used up")
            [change] = process.of_type("operating_point")
            soon = 0.001 - change["measured"]["energy_left_j"]
            process.wait_for(lambda: spent_j() > 2 * soon, "far more is spent than at the first look")
            process.signal(signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL
        before = spent_j()
        with DeviceProcess("run", "--port", board.port, "--count", "60", *options) as process:
            assert process.wait(60.0) == 0, process.errors
    [ready] = process.of_type("ready")
    assert ready["operating_point"] == "chosen", "as configured; the first look at the budget changes it"
    [change] = process.of_type("operating_point")
    assert change["point"] == "local"
    assert change["measured"]["energy_left_j"] <= 0.001 - before + 0.0005
    assert change["measured"]["energy_left_s"] < 86_399.5
    [summary] = process.of_type("summary")
    assert "energy_record_unreadable" not in summary["journal"]
    # on stop everything is kept
    assert spent_j() > before + 60 * 1e-6
