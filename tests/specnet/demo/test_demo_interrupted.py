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
    "in the first epoch": lambda program, folder: program.says("training nano"),
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
        program.signal(signal.SIGINT)
        assert program.wait() == INTERRUPTED, program.errors
        assert program.errors[-1] == "specnet: interrupted\n"
        assert program.descendants() == []
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("moment", MOMENTS)
def test_interrupted_in_the_first_half_it_begins_anew(tmp_path: Path, moment: str) -> None:
    with small_endless_demo(tmp_path) as program:
        program.wait_for(lambda: MOMENTS[moment](program, tmp_path), moment)
        program.signal(signal.SIGINT)
        assert program.wait() == INTERRUPTED, program.errors
        assert program.descendants() == []
    check_files(tmp_path)
    assert not (tmp_path / RECIPE_FILE).exists()
    prepare_light(tmp_path)
    check_files(tmp_path)


def test_interrupted_while_the_processes_start(folder: Path) -> None:
    with demo(folder) as program:
        program.wait_for(lambda: program.says("starting the broker"), "the second half begins")
        program.signal(signal.SIGINT)
        assert program.wait() == INTERRUPTED, program.errors
        assert program.descendants() == []
    check_files(folder)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_during_the_replay_everything_ends_and_a_second_run_works(
    folder: Path, number: signal.Signals
) -> None:
    with demo(folder) as program:
        is_replaying(program, folder)
        program.signal(number)
        assert program.wait() == INTERRUPTED, program.errors
        assert program.descendants() == []
    check_files(folder)
    assert not (folder / "spectrometer").is_symlink()
    if number == signal.SIGTERM:
        return  # the folder is the same, so one second run is enough
    with demo(folder, "--json") as again:
        assert again.wait(120) == 0, again.errors
        document = json.loads(again.output)
    assert (document["n"], document["lost"], document["duplicates"]) == (SPECTRA, 0, 0)
    assert document["plots"]
    assert all(Path(plot).is_file() for plot in document["plots"])
    check_files(folder)


def test_the_processes_end_with_a_killed_demonstration(folder: Path) -> None:
    with demo(folder) as program:
        is_replaying(program, folder)
        program.signal(signal.SIGKILL)
        assert program.wait() == -signal.SIGKILL
        wait_until(lambda: not program.descendants(), "all processes are gone")
    # killed processes leave what they were writing; the next run is not disturbed by it
    with demo(folder) as again:
        is_replaying(again, folder)
        again.signal(signal.SIGINT)
        assert again.wait() == INTERRUPTED, again.errors
        assert again.descendants() == []
