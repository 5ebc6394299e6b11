"""Ctrl-C, SIGTERM and SIGKILL in the middle of ``specnet demo``."""

from __future__ import annotations

import json
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support_broker import mosquitto_path, wait_until
from support_demo import (
    INTERRUPTED,
    LIGHT_SIMULATION,
    LIGHT_TRAINING,
    SPECTRA,
    Program,
    check_files,
    demo,
    small_endless_demo,
)

from specnet.datasets.simulation import PRESETS
from specnet.demo.model import RECIPE, RECIPE_FILE, prepare, recipe
from specnet.files import write_json

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are found through /proc")

MOMENTS: dict[str, Callable[[Program, Path], object]] = {
    # the spectra are small and quickly written: when that was missed, what comes next will do
    "while spectra are written": lambda program, folder: list(folder.glob(".*.tmp")) or program.says("training nano"),
    "when there is a checkpoint": lambda program, folder: (folder / "run" / "checkpoint.safetensors").exists(),
}


def prepare_light(folder: Path) -> None:
    prepare(
        folder,
        n=SPECTRA,
        seed=0,
        fresh=False,
        stage=lambda text: None,
        training=LIGHT_TRAINING,
        simulation=LIGHT_SIMULATION,
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the command takes for its own: a light model under the full recipe."""
    folder = tmp_path_factory.mktemp("trained")
    prepare_light(folder)
    write_json(folder / RECIPE_FILE, recipe(RECIPE, PRESETS["demo"]))
    return folder


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    """A copy of `trained`."""
    return Path(shutil.copytree(trained, tmp_path / "demo"))


def end(program: Program, number: signal.Signals) -> None:
    """Send a signal to the program alone: it ends with everything that it started, and says one line."""
    program.signal(number)
    assert program.wait() == INTERRUPTED, "".join(program.errors)
    assert program.descendants() == []
    assert program.errors[-1] == "specnet: interrupted\n"


def is_replaying(program: Program, folder: Path) -> None:
    """Wait until all processes have been started and the device works."""
    names = ("mosquitto" if mosquitto_path() else "amqtt", "gateway.cli serve", "device.cli simulate", "device.cli run")

    def all_run() -> bool:
        commands = program.descendants()
        return all(any(name in command for command in commands) for name in names)

    program.wait_for(all_run, "four processes run")
    program.wait_for((folder / "state" / "outbox-demo-node-1.sqlite").exists, "the device has opened its outbox")


def test_interrupted_during_the_simulation(tmp_path: Path) -> None:
    with demo(tmp_path) as program:
        program.wait_for(lambda: program.says("simulating"), "the simulation begins")
        end(program, signal.SIGINT)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("moment", MOMENTS)
def test_interrupted_in_the_first_half_it_begins_anew(tmp_path: Path, moment: str) -> None:
    with small_endless_demo(tmp_path) as program:
        program.wait_for(lambda: MOMENTS[moment](program, tmp_path), moment)
        end(program, signal.SIGINT)
    check_files(tmp_path)
    assert not (tmp_path / RECIPE_FILE).exists()
    prepare_light(tmp_path)
    check_files(tmp_path)


def test_ended_with_sigterm_while_the_processes_start(folder: Path) -> None:
    with demo(folder) as program:
        program.wait_for(lambda: program.says("starting the broker"), "the second half begins")
        end(program, signal.SIGTERM)
    check_files(folder)


def test_interrupted_and_killed_during_the_replay_the_next_run_works(folder: Path) -> None:
    with demo(folder) as first:
        is_replaying(first, folder)
        end(first, signal.SIGINT)
    check_files(folder)
    assert not (folder / "spectrometer").is_symlink()

    with demo(folder) as second:
        is_replaying(second, folder)
        second.signal(signal.SIGKILL)
        assert second.wait() == -signal.SIGKILL
        wait_until(lambda: not second.descendants(), "broker, gateway, spectrometer and device end with it")

    with demo(folder, "--json") as third:
        assert third.wait(120) == 0, third.errors
        document = json.loads(third.output)
        assert third.descendants() == []
    assert (document["n"], document["lost"], document["duplicates"]) == (SPECTRA, 0, 0)
    assert document["plots"]
    assert all(Path(plot).is_file() for plot in document["plots"])
    check_files(folder)
