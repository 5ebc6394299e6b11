"""A search with a supernet: within its limit, the same for a seed, and continued wherever it was killed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import support_supernet
from safetensors.numpy import load_file
from support_cli import call
from support_search import SPACE, read, write_space
from support_supernet import BREEDING, BUDGET, WAITING, search

from specnet.errors import ConfigurationError, ModelError
from specnet.tuning.architecture.judging import CostLimit, Task, build
from specnet.tuning.architecture.searches import Budget, Found, Place, Status
from specnet.tuning.architecture.space import read_architecture
from specnet.tuning.architecture.supernet_ledger import Ledger
from specnet.tuning.architecture.supernet_search import (
    CHECKPOINT_FILE,
    FEWEST_EPOCHS,
    LEDGER_FILE,
    SupernetSearch,
    search_supernet,
)

pytestmark = pytest.mark.usefixtures("one_thread")
ROOT = Path(__file__).parents[4]


@pytest.fixture(scope="module")
def whole(task: Task, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Found]:
    """A search that nobody interrupted. Read it."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, search(task, folder)


def told(found: Found) -> list[tuple[object, ...]]:
    return [(c.number, c.architecture, c.macs, c.nats, c.accuracy) for c in found.candidates]


def test_it_finds_shapes_of_the_space_and_their_cost(task: Task, whole: tuple[Path, Found]) -> None:
    _, found = whole
    assert len(found.candidates) == BUDGET.trials
    assert len({candidate.architecture for candidate in found.candidates}) == BUDGET.trials
    for candidate in found.candidates:
        assert candidate.architecture in SPACE
        assert candidate.macs == build(task, candidate.architecture).static_macs()
    assert found.best.nats == min(candidate.nats or 0.0 for candidate in found.candidates)
    assert len({candidate.nats for candidate in found.candidates}) > 5
    assert found.seconds > sum(candidate.seconds for candidate in found.candidates) > 0


@pytest.mark.parametrize("wait_at", [1, 6])
def test_killed_while_training_or_judging_it_goes_on_as_if_nothing_had_been(
    task: Task, hard_file: Path, whole: tuple[Path, Found], tmp_path: Path, wait_at: int
) -> None:
    program = [sys.executable, support_supernet.__file__, str(hard_file), str(tmp_path), str(wait_at)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True, cwd=ROOT) as child:
        assert child.stdout is not None
        assert child.stdout.readline().strip() == WAITING
        child.kill()
    kept = json.loads((tmp_path / LEDGER_FILE).read_text())
    judged = [shape for shape in kept["shapes"] if shape["accuracy"] is not None]
    assert len(judged) == max(0, wait_at - BUDGET.epochs)
    found = search(task, tmp_path)
    folder, uninterrupted = whole
    assert told(found) == told(uninterrupted)
    ours, its = load_file(tmp_path / CHECKPOINT_FILE), load_file(folder / CHECKPOINT_FILE)
    assert ours.keys() == its.keys()
    assert all(np.array_equal(ours[name], its[name]) for name in its)
    # the time that a judgement took would not be the same twice
    now = {
        json.dumps(shape["architecture"]): shape for shape in json.loads((tmp_path / LEDGER_FILE).read_text())["shapes"]
    }
    for shape in judged:
        assert now[json.dumps(shape["architecture"])] == shape
    assert found.seconds > kept["seconds"]


def test_trained_once_it_serves_another_limit(hard_file: Path, whole: tuple[Path, Found], tmp_path: Path) -> None:
    folder, found = whole
    for name in (LEDGER_FILE, CHECKPOINT_FILE):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    most = sorted(candidate.macs for candidate in found.candidates)[4]
    epochs: list[str] = []

    def report(status: Status) -> None:
        if status.finished == 0:
            epochs.append(status.text)

    limited = read(hard_file, CostLimit(macs=most))
    again = search_supernet(limited, SPACE, BUDGET, place=Place(tmp_path), report=report)
    assert not epochs
    assert max(candidate.macs for candidate in again.candidates) <= most
    assert len(again.candidates) == BUDGET.trials
    assert again.infeasible > 0
    known = {candidate.architecture: candidate.nats for candidate in found.candidates}
    assert any(candidate.architecture in known for candidate in again.candidates)
    assert all(known.get(c.architecture, c.nats) == c.nats for c in again.candidates)


def test_microseconds_are_measured_once_and_kept(hard_file: Path, whole: tuple[Path, Found], tmp_path: Path) -> None:
    folder, _ = whole
    for name in (LEDGER_FILE, CHECKPOINT_FILE):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    timed = read(hard_file, CostLimit(us=1e9))
    budget = Budget(trials=4, epochs=BUDGET.epochs)
    first = search_supernet(timed, SPACE, budget, place=Place(tmp_path))
    again = search_supernet(timed, SPACE, budget, place=Place(tmp_path))
    assert [candidate.us for candidate in first.candidates] == [candidate.us for candidate in again.candidates]
    assert all(candidate.us is not None and candidate.us > 0 for candidate in first.candidates)


def test_time_that_ends_in_the_training_is_no_loss(task: Task, whole: tuple[Path, Found], tmp_path: Path) -> None:
    short = Budget(trials=10, epochs=2, seconds=1e-3)
    first = search_supernet(task, SPACE, short, place=Place(tmp_path))
    assert first.candidates == ()
    assert first.why == "0.001 seconds were over before the supernet was trained: started again, it goes on"
    with pytest.raises(ModelError, match="no shape was trained to the end"):
        _ = first.best
    assert told(search(task, tmp_path)) == told(whole[1])


def test_what_was_judged_is_found_again_when_the_time_is_used_up(
    task: Task, whole: tuple[Path, Found], tmp_path: Path
) -> None:
    folder = shutil.copytree(whole[0], tmp_path / "again")
    over = Budget(trials=BUDGET.trials, epochs=BUDGET.epochs, processor_seconds=1e-3)
    found = search_supernet(task, SPACE, over, place=Place(folder), breeding=BREEDING)
    assert told(found) == told(whole[1])


def test_time_alone_plans_the_epochs(task: Task, tmp_path: Path) -> None:
    SupernetSearch(task, SPACE, Budget(processor_seconds=1.0), place=Place(tmp_path)).train()
    planned = json.loads((tmp_path / LEDGER_FILE).read_text())["epochs"]
    assert planned >= FEWEST_EPOCHS
    again = SupernetSearch(task, SPACE, Budget(processor_seconds=500.0), place=Place(tmp_path))
    assert again.train()
    assert again.ledger.epochs == planned  # a plan that was begun is kept
    with pytest.raises(ConfigurationError, match=f"begun with {planned} epochs, {planned + 1} were asked for"):
        SupernetSearch(task, SPACE, Budget(trials=1, epochs=planned + 1), place=Place(tmp_path)).train()


def test_a_folder_of_another_search_is_refused_with_both_values(task: Task, whole: tuple[Path, Found]) -> None:
    place = Place(whole[0])
    with pytest.raises(ModelError, match=r"space.units was \[0, 1, 2\], is now \[0, 1\]"):
        search_supernet(task, replace(SPACE, units=(0, 1)), BUDGET, place=place)
    with pytest.raises(ModelError, match=r"recipe.seed was 5, is now 4"):
        search_supernet(replace(task, config=replace(task.config, seed=4)), SPACE, BUDGET, place=place)
    with pytest.raises(ModelError, match=r"data_sha256 was [0-9a-f]{64}, is now 00"):
        search_supernet(replace(task, data_sha256="00"), SPACE, BUDGET, place=place)


def test_damaged_and_foreign_ledgers_are_refused(tmp_path: Path) -> None:
    path = tmp_path / LEDGER_FILE
    for text, message in (
        ("{", "holds no search"),
        ("[]", "holds no search"),
        ('{"format": "other", "format_version": 1}', "is 'other' version 1, expected 'specnet-supernet-search'"),
        ('{"format": "specnet-supernet-search", "format_version": 1, "identity": {}}', "holds no search"),
    ):
        path.write_text(text)
        with pytest.raises(ModelError, match=message):
            Ledger(path, {})


def test_the_command_writes_the_shape_that_it_found(hard_file: Path, tmp_path: Path) -> None:
    space = write_space(tmp_path / "space.json")
    words = ["tune", "architecture", hard_file, "--out", tmp_path / "out", "--search", "supernet", "--space", space]
    words += ["--epochs", 1, "--trials", 6, "--preprocessing", "snv", "--json"]
    called = call(*words)
    assert called.code == 0, called.err
    assert called.document["trials"] == 6
    found = read_architecture(tmp_path / "out" / "architecture.json")
    assert found.to_dict() == called.document["shape"]
    assert found in SPACE
    before = (tmp_path / "out" / CHECKPOINT_FILE).stat().st_mtime_ns
    again = call(*words, "--max-macs", called.document["macs"])
    assert again.code == 0, again.err
    assert again.document["macs"] <= called.document["macs"]
    assert (tmp_path / "out" / CHECKPOINT_FILE).stat().st_mtime_ns == before
    for option in (("--workers", 2), ("--storage", "sqlite:///other.db")):
        refused = call(*words, *option)
        assert refused.code == 2
        assert f"--search supernet runs in one process, expected no {option[0]}" in refused.err
