"""Several processes on one study, and processes that are killed in the middle of a trial."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState
from support_search import SPACE, read, search, write_space

from specnet.tuning.architecture.heartbeat import Owner
from specnet.tuning.architecture.ledger import AGAIN, OWNER, RESULT, SHAPE, Ledger
from specnet.tuning.architecture.searches import Place
from specnet.tuning.architecture.storage import JOURNAL, identity_of, open_study

pytestmark = pytest.mark.usefixtures("one_thread")
SECONDS = 240
EPOCHS = 24
"""A trial takes a second or so: long enough to be hit."""

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(hard_file: Path, tmp_path: Path) -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []
    space = write_space(tmp_path / "space.json")

    def begin(*words: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "specnet.cli", "tune", "architecture", hard_file, "--out", tmp_path]
        command += ["--space", space, "--preset", "nano", "--preprocessing", "snv", "--seed", 5, "--epochs", EPOCHS]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        pipe = subprocess.PIPE
        words = tuple(map(str, (*command, *words)))
        started.append(subprocess.Popen(words, env=environment, stdout=pipe, stderr=pipe, text=True))
        return started[-1]

    yield begin
    for child in started:
        child.kill()
        child.communicate()


def wait_for(folder: Path, hard_file: Path, arrived: Callable[[Ledger], bool]) -> Ledger:
    """The trials, as soon as they are as wanted."""
    identity = identity_of(read(hard_file, batch_size=64), SPACE, "tpe", EPOCHS)
    until = time.monotonic() + SECONDS
    study = None
    while time.monotonic() < until:
        if (folder / JOURNAL).exists():
            study = study or open_study(Place(folder), identity)
            ledger = Ledger(study.get_trials())
            if arrived(ledger):
                return ledger
        time.sleep(0.02)
    raise AssertionError("it did not happen")


def in_work(ledger: Ledger) -> list[Any]:
    """Running trials whose training has begun: they have reported, or at least have a shape."""
    return [trial for trial in ledger.running if SHAPE in trial.user_attrs and trial.intermediate_values]


def summary(child: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = child.communicate(timeout=SECONDS)
    assert child.returncode == 0, err
    document: dict[str, Any] = json.loads(out)
    return document


def test_what_a_killed_process_left_is_trained_again_and_counted_once(
    start: Start, hard_file: Path, tmp_path: Path
) -> None:
    first = start("--trials", 50)
    wait_for(tmp_path, hard_file, lambda ledger: len(ledger.judged) >= 2 and bool(in_work(ledger)))
    first.send_signal(signal.SIGKILL)
    first.wait()
    left = wait_for(tmp_path, hard_file, lambda ledger: True)
    (hit,) = left.running
    kept = {trial.number: trial for trial in left.judged}
    wanted = len(kept) + 2
    done = summary(start("--trials", wanted, "--json"))
    assert done["trials"] == wanted
    after = wait_for(tmp_path, hard_file, lambda ledger: True)
    assert len(after.judged) == wanted
    for number, trial in kept.items():  # nothing that was finished has changed
        assert after.trials[number] == trial
    assert after.trials[hit.number].state == TrialState.FAIL
    (again,) = [trial for trial in after.trials if AGAIN in trial.user_attrs]
    assert again.user_attrs[SHAPE] == hit.user_attrs[SHAPE]
    assert RESULT in again.user_attrs
    shapes = [json.dumps(trial.user_attrs[SHAPE]["architecture"]) for trial in after.judged]
    assert len(set(shapes)) == wanted


def test_processes_share_a_study_and_helpers_end_with_the_one_that_started_them(
    start: Start, hard_file: Path, tmp_path: Path
) -> None:
    parent = start("--trials", 50, "--workers", 2)

    def both_work(ledger: Ledger) -> bool:
        return len({trial.user_attrs[OWNER]["pid"] for trial in in_work(ledger)}) == 2

    seen = wait_for(tmp_path, hard_file, both_work)
    owners = [Owner.from_dict(trial.user_attrs[OWNER]) for trial in in_work(seen)]
    assert {owner.pid for owner in owners if owner} > {parent.pid}
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    until = time.monotonic() + SECONDS
    while not all(owner and owner.is_dead for owner in owners):
        assert time.monotonic() < until
        time.sleep(0.02)
    left = wait_for(tmp_path, hard_file, lambda ledger: True)
    assert len(left.running) == 2
    # a process of another kind, on the same study
    wanted = len(left.judged) + 2
    found = search(read(hard_file, batch_size=64), SPACE, Place(tmp_path), trials=wanted, epochs=EPOCHS)
    assert len(found.candidates) == wanted
    again = {json.dumps(one.architecture.to_dict()) for one in found.candidates[-2:]}
    assert again == {json.dumps(trial.user_attrs[SHAPE]["architecture"]) for trial in left.running}


def test_two_workers_judge_as_many_as_wanted(start: Start, hard_file: Path, tmp_path: Path) -> None:
    done = summary(start("--trials", 6, "--workers", 2, "--json"))
    after = wait_for(tmp_path, hard_file, lambda ledger: True)
    assert done["trials"] == len(after.judged) == 6
    assert not after.running
    assert "Traceback" not in (tmp_path / "helper-1.log").read_text()


def test_an_interrupted_search_says_how_to_go_on(start: Start, hard_file: Path, tmp_path: Path) -> None:
    child = start("--trials", 50, "--workers", 2)
    wait_for(tmp_path, hard_file, lambda ledger: bool(ledger.judged) and bool(in_work(ledger)))
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=SECONDS)
    assert child.returncode == 130
    assert "what was judged is kept, and the same command goes on from there" in err
    assert "Traceback" not in err
    left = wait_for(tmp_path, hard_file, lambda ledger: True)
    wanted = len(left.judged) + 1
    assert summary(start("--trials", wanted, "--json"))["trials"] == wanted
