"""Searching by trials in one process: what counts, what is broken off, and what is never trained."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from optuna.trial import TrialState
from support_search import EPOCHS, search, without_seconds
from torch.utils.data import TensorDataset

from specnet.errors import ModelError
from specnet.tuning.architecture.judging import CostLimit, Task, build, judge
from specnet.tuning.architecture.ledger import AGAIN, OVER_LIMIT, RESULT, SHAPE
from specnet.tuning.architecture.searches import COMPLETE, PRUNED, Found, Place, Status
from specnet.tuning.architecture.space import SearchSpace
from specnet.tuning.architecture.storage import identity_of, open_study
from specnet.tuning.architecture.trials import first_report, search_trials, trial_epochs

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(params=["tpe", "random"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def study_of(place: Place, task: Task, space: SearchSpace, name: str = "tpe") -> optuna.Study:
    return open_study(place, identity_of(task, space, name, EPOCHS))


def shapes(found: Found) -> list[dict[str, Any]]:
    return [one.architecture.to_dict() for one in found.candidates]


def folder(place: Place, name: str) -> Place:
    (place.folder / name).mkdir()
    return Place(place.folder / name)


def test_one_process_tries_the_same_shapes_each_time(task: Task, space: SearchSpace, place: Place, name: str) -> None:
    first, second = (search(task, space, folder(place, run), name, trials=4) for run in "ab")
    assert len(first.candidates) == 4
    assert without_seconds(first.candidates) == without_seconds(second.candidates)
    assert all(one.architecture in space for one in first.candidates)
    other = search(replace(task, config=replace(task.config, seed=6)), space, folder(place, "c"), name, trials=4)
    assert shapes(other) != shapes(first)


def test_an_ended_search_goes_on_as_if_it_had_not_ended(
    task: Task, space: SearchSpace, place: Place, name: str
) -> None:
    at_once = search(task, space, folder(place, "a"), name, trials=6)
    kept = folder(place, "b")
    begun = search(task, space, kept, name, trials=3)
    continued = search(task, space, kept, name, trials=6)
    assert continued.candidates[:3] == begun.candidates
    assert without_seconds(continued.candidates) == without_seconds(at_once.candidates)
    again = search(task, space, kept, name, trials=6)
    assert again.candidates == continued.candidates
    assert again.why == "6 shapes judged"


def test_what_is_found_is_what_training_gives(task: Task, space: SearchSpace, place: Place) -> None:
    from specnet.training import train_network

    found = search(task, space, place, trials=3)
    best = found.best
    assert best.nats == min(one.nats for one in found.candidates if one.nats is not None)
    network = build(task, best.architecture)
    assert network.static_macs() == best.macs
    config = replace(task.config, **best.architecture.training_options, epochs=EPOCHS)
    train_network(network, task.training, config)
    judged = judge(network, task)
    assert (best.nats, best.accuracy, best.epochs) == (judged.nats, judged.accuracy, EPOCHS)


def test_no_shape_over_the_limit_is_trained(task: Task, space: SearchSpace, place: Place, name: str) -> None:
    rng = np.random.default_rng(0)
    median = float(np.median([build(task, space.sample(rng)).static_macs() for _ in range(40)]))
    limited = replace(task, limit=CostLimit(macs=median))
    found = search(limited, space, place, name, trials=5)
    assert len(found.candidates) == 5
    assert all(one.macs <= median for one in found.candidates)
    refused = [trial for trial in study_of(place, limited, space, name).trials if OVER_LIMIT in trial.user_attrs]
    assert found.infeasible == len(refused) > 0
    for trial in refused:
        assert trial.user_attrs[SHAPE]["macs"] > median
        assert not trial.intermediate_values
        assert RESULT not in trial.user_attrs


def test_a_limit_that_no_shape_keeps_ends_the_search(
    task: Task, space: SearchSpace, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    from specnet.tuning.architecture import trials

    monkeypatch.setattr(trials, "MOST_DRAWS", 8)
    found = search(replace(task, limit=CostLimit(macs=10)), space, place, trials=3)
    assert (found.candidates, found.infeasible) == ((), 8)
    with pytest.raises(ModelError, match=r"no shape was trained to the end \(8 draws in a row.*; 8 draws over the"):
        _ = found.best


def test_a_limit_of_time_is_measured_before_training(task: Task, space: SearchSpace, place: Place) -> None:
    found = search(replace(task, limit=CostLimit(us=1e9)), space, place, trials=2)
    assert all(one.us is not None and one.us > 0 for one in found.candidates)


def test_a_small_space_is_searched_once(
    task: Task, space: SearchSpace, place: Place, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from specnet.tuning.architecture import trials

    monkeypatch.setattr(trials, "MOST_DRAWS", 40)
    three = replace(
        space, stages=(2,), widths=((4,), (4,)), units=(1,), blocks=("ghost",), stem_channels=(4,), head_bins=(4, 8, 6)
    )
    three = replace(three, head_channels=(4,))
    found = search(task, three, place, name, trials=10)
    assert sorted(one.architecture.head_bins for one in found.candidates) == [4, 6, 8]
    assert found.why == "40 draws in a row were over the limit or known"


def test_a_trial_that_promises_nothing_is_broken_off(task: Task, space: SearchSpace, place: Place) -> None:
    """Four finished trials far better than anything that can come."""
    study = study_of(place, task, space)
    rng = np.random.default_rng(9)
    for _ in range(4):
        attributes = {
            SHAPE: {"architecture": space.sample(rng).to_dict(), "macs": 1000, "us": None},
            RESULT: {"epochs": EPOCHS, "seconds": 1.0, "accuracy": 1.0},
        }
        reports = dict.fromkeys(range(first_report(EPOCHS), EPOCHS), 0.001)
        study.add_trial(
            optuna.create_trial(
                state=TrialState.COMPLETE, value=1e-3, intermediate_values=reports, user_attrs=attributes
            )
        )
    seen: list[Status] = []
    from specnet.tuning.architecture.searches import Budget

    budget = Budget(trials=6, epochs=EPOCHS)
    found = search_trials("tpe", task, space, budget, place=place, report=seen.append)
    new = found.candidates[4:]
    assert [one.state for one in new] == [PRUNED, PRUNED]
    assert all(one.epochs == first_report(EPOCHS) < EPOCHS for one in new)
    assert all(one.nats is not None and one.nats > 0.1 for one in new)
    assert (seen[-1].finished, seen[-1].pruned, seen[-1].best) == (6, 2, 1e-3)
    assert found.best.number < 4


def test_nothing_is_broken_off_before_the_first_report() -> None:
    assert [first_report(epochs) for epochs in (1, 4, 8, 40)] == [2, 2, 2, 10]


def test_epochs_of_a_trial_are_a_share_of_the_trainings(task: Task) -> None:
    def epochs(whole: int, asked: int = 0) -> int:
        return trial_epochs(replace(task.config, epochs=whole), asked)

    assert [epochs(100), epochs(20), epochs(4), epochs(100, asked=3)] == [25, 6, 4, 3]


def test_a_training_that_diverges_counts_and_is_no_result(task: Task, space: SearchSpace, place: Place) -> None:
    labels = torch.arange(30) % len(task.classes)
    nothing: Any = TensorDataset(torch.full((30, task.n_points), float("nan")), labels)
    found = search(replace(task, training=nothing), space, place, trials=2)
    assert [(one.state, one.nats, one.accuracy) for one in found.candidates] == [(PRUNED, None, None)] * 2
    with pytest.raises(ModelError, match="2 shapes judged"):
        _ = found.best


def test_time_that_is_up_leaves_the_shape_for_the_next_start(task: Task, space: SearchSpace, place: Place) -> None:
    begun = search(task, space, place, seconds=1e-9)
    assert (begun.candidates, begun.why) == ((), "time is up")
    # a trial that has begun is given up after an epoch
    given_up = search(task, space, place, epochs=EPOCHS, processor_seconds=1e-2)
    assert given_up.candidates == ()
    assert given_up.seconds > 1e-2
    waiting = [trial for trial in study_of(place, task, space).trials if trial.state == TrialState.WAITING]
    assert len(waiting) == 1
    found = search(task, space, place, trials=1)
    (one,) = found.candidates
    assert one.state == COMPLETE
    assert one.number == waiting[0].number
    assert study_of(place, task, space).trials[one.number].params == waiting[0].user_attrs[AGAIN]
    assert found.seconds > given_up.seconds


def test_an_interruption_keeps_what_was_judged_and_the_shape_in_work(
    task: Task, space: SearchSpace, place: Place
) -> None:
    from specnet.tuning.architecture.searches import Budget

    def interrupt(status: Status) -> None:
        if status.finished == 2 and status.text.startswith("trial"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search_trials("tpe", task, space, Budget(trials=5, epochs=EPOCHS), place=place, report=interrupt)
    study = study_of(place, task, space)
    states = [trial.state for trial in study.trials]
    assert states.count(TrialState.RUNNING) == 0
    assert states.count(TrialState.WAITING) == 1
    shape = next(trial.user_attrs[SHAPE] for trial in study.trials if trial.state == TrialState.FAIL)
    found = search(task, space, place, trials=3)
    assert len(found.candidates) == 3
    assert found.candidates[2].architecture.to_dict() == shape["architecture"]
