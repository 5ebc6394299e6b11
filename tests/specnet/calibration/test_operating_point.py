from __future__ import annotations

import msgspec
import numpy as np
import pytest
from support_cached_logits import make_cached

from specnet.calibration import CachedLogits, Candidate, calibrate, thresholds_for_budget
from specnet.calibration.candidates import ALWAYS, estimate_merits, generate_candidates, pareto_front
from specnet.calibration.exit_table import ExitTable
from specnet.calibration.operating_point import (
    best_within_budget,
    budget_in_macs,
    cheapest_near_best,
    cheapest_with_accuracy,
)
from specnet.calibration.recipe import HeldOutMerit, Recipe
from specnet.errors import ConfigurationError
from specnet.exits import NEVER, route


def _candidate(mean_macs: float, accuracy: float) -> Candidate:
    return Candidate(
        family="shared", thresholds=(0.5, 0.0), mean_macs=mean_macs, accuracy=accuracy, exit_shares=(0.5, 0.5)
    )


def test_a_candidate_whose_advantage_may_be_luck_is_marked_down() -> None:
    sure = _candidate(30, 0.90)
    lucky = msgspec.structs.replace(_candidate(20, 0.90), estimate=0.899, uncertainty=0.01)
    steady = msgspec.structs.replace(_candidate(20, 0.90), estimate=0.899, uncertainty=0.001)
    assert cheapest_near_best([sure, lucky]) is sure
    assert cheapest_near_best([sure, steady]) is steady


def test_estimates_are_of_spectra_that_nothing_was_fitted_on() -> None:
    """With labels that say nothing, a fit looks better on its own spectra than on others."""
    rng = np.random.default_rng(0)
    cached = make_cached(seed=0, n=60, n_classes=3)
    noise = CachedLogits(
        rng.standard_normal(cached.logits.shape).astype(np.float32), cached.labels, cached.macs, cached.static_macs
    )
    recipe = Recipe("geometric", "gate")
    table = ExitTable.of(noise, recipe.fit(noise))
    held = HeldOutMerit.of(noise, recipe)
    assert held.scores.shape == held.merit.shape == table.scores.shape
    assert not np.allclose(held.scores, table.scores)


HAND = [_candidate(*pair) for pair in [(10, 0.80), (20, 0.896), (30, 0.897), (35, 0.897), (40, 0.90), (90, 0.899)]]


def test_definition_of_the_default_operating_point() -> None:
    # best 0.900; within 0.3 points: 0.897 and above, an equal 0.897 included; the cheapest of these costs 30
    assert cheapest_near_best(HAND).mean_macs == 30
    assert cheapest_near_best(HAND, tolerance=0.02).mean_macs == 20
    assert cheapest_near_best(HAND, tolerance=0.0).mean_macs == 40


def test_choice_by_budget_and_by_accuracy() -> None:
    assert best_within_budget(HAND, 39.0).mean_macs == 30
    assert best_within_budget(HAND, 1e9).mean_macs == 40
    assert cheapest_with_accuracy(HAND, 0.85).mean_macs == 20
    assert cheapest_with_accuracy(HAND, 0.9).mean_macs == 40


def test_what_cannot_be_had_is_refused_with_what_can() -> None:
    with pytest.raises(ConfigurationError, match=r"budget of 9 MACs .* needs 10 to 90"):
        best_within_budget(HAND, 9.0)
    with pytest.raises(ConfigurationError, match=r"accuracy 0.9500 is not reached at any cost; the best is 0.9000"):
        cheapest_with_accuracy(HAND, 0.95)
    for accuracy in (0.0, 95.0, float("nan")):
        with pytest.raises(ConfigurationError, match="above 0 and at most 1"):
            cheapest_with_accuracy(HAND, accuracy)


def test_a_budget_up_to_one_is_a_share() -> None:
    assert budget_in_macs(0.3, 200_000) == 60_000
    assert budget_in_macs(1, 200_000) == 200_000
    assert budget_in_macs(50_000, 200_000) == 50_000
    for wrong in (0.0, -0.3, float("nan"), float("inf")):
        with pytest.raises(ConfigurationError, match="a budget is a share"):
            budget_in_macs(wrong, 200_000)


def test_the_front_holds_what_nobody_beats() -> None:
    assert [candidate.mean_macs for candidate in pareto_front(HAND)] == [10, 20, 30, 40]


def test_candidates_include_every_single_exit_and_closed_exits() -> None:
    cached = make_cached(seed=0, n=200)
    table = ExitTable.of(cached, calibrate(cached).policy)
    candidates = list(generate_candidates(table))
    singles = [c for c in candidates if c.family == "single_exit"]
    assert [c.exit_shares.index(1.0) for c in singles] == [0, 1, 2, 3]
    assert [c.accuracy for c in singles] == pytest.approx(table.correct.mean(axis=1))
    assert any(c.thresholds[0] == NEVER and 0 < c.exit_shares[1] < 1 for c in candidates)
    assert {c.family for c in candidates} == {"single_exit", "budgeted", "shared"}


def test_the_saved_default_is_the_cheapest_of_all_candidates_near_the_best() -> None:
    cached = make_cached(seed=1)
    calibration = calibrate(cached)
    recipe = Recipe(calibration.policy.combiner)
    assert recipe.fit(cached).temperatures == calibration.policy.temperatures
    candidates = estimate_merits(
        list(generate_candidates(ExitTable.of(cached, calibration.policy))), HeldOutMerit.of(cached, recipe)
    )
    best = max(candidate.merit for candidate in candidates)
    good = [c for c in candidates if c.merit - 0.5 * c.uncertainty >= best - 0.003 - 1e-9]
    assert calibration.mean_macs == min(c.mean_macs for c in good)
    # what is estimated is the accuracy
    assert calibration.accuracy == pytest.approx(best, abs=0.02)
    routing = route(calibration.policy, cached.logits)
    assert calibration.accuracy == (routing.probabilities.argmax(axis=1) == cached.labels).mean()
    assert calibration.mean_macs == cached.macs[routing.exit_index, np.arange(cached.n_spectra)].mean()


def test_operating_points_are_ordered_by_what_they_spend() -> None:
    cached = make_cached(seed=2)
    calibration = calibrate(cached)
    costs = {}
    for name, policy in calibration.operating_points.items():
        costs[name] = ExitTable.of(cached, policy).outcome(policy.thresholds).mean_macs
    assert costs["fast"] < costs["default"] <= costs["accurate"]
    assert calibration.chosen == "default"


def test_early_exit_saves_compute_on_spectra_never_seen() -> None:
    calibration, test = calibrate(make_cached(seed=3, n=2000)), make_cached(seed=103, n=4000)
    outcome = ExitTable.of(test, calibration.policy).outcome(calibration.policy.thresholds)
    last = ExitTable.of(test, calibration.policy).correct[-1].mean()
    assert outcome.mean_macs < 0.85 * test.macs[-1].mean()
    assert outcome.accuracy > last - 0.015


def _with_exits(cached: CachedLogits, order: list[int]) -> CachedLogits:
    return CachedLogits(cached.logits[order], cached.labels, cached.macs, cached.static_macs)


def test_depth_that_does_not_help_is_never_bought() -> None:
    """Exit 0 of this network is its best one, as linear exits on near-infrared grain spectra are."""
    calibration = calibrate(_with_exits(make_cached(seed=4), [3, 0, 0, 0]))
    assert calibration.policy.thresholds[0] == ALWAYS
    assert calibration.mean_macs == 500


def test_a_first_exit_that_misleads_is_closed() -> None:
    """Exit 0 is very sure of wrong answers, and its cost is that of no other exit."""
    cached = make_cached(seed=5)
    logits = cached.logits.copy()
    wrong = (cached.labels + 1) % cached.n_classes
    logits[0] = 0
    logits[0, np.arange(cached.n_spectra), wrong] = 3
    logits[1:] = 20 * np.eye(cached.n_classes)[cached.labels]
    calibration = calibrate(CachedLogits(logits, cached.labels, cached.macs, cached.static_macs))
    assert calibration.accuracy == 1.0
    exits = route(calibration.policy, logits).exit_index
    assert set(exits.tolist()) == {1}


@pytest.mark.parametrize("budget", [0.1, 0.3, 60_000])
def test_calibration_for_a_budget_keeps_to_it_and_is_no_worse_than_the_plain_procedure(budget: float) -> None:
    cached = make_cached(seed=6)
    calibration = calibrate(cached, budget=budget)
    limit = budget if budget > 1 else budget * cached.static_macs
    assert (calibration.chosen, calibration.policy) == ("budget", calibration.operating_points["budget"])
    assert calibration.mean_macs <= limit
    plain = thresholds_for_budget(cached, calibration.policy, limit)
    assert calibration.accuracy >= ExitTable.of(cached, plain).outcome(plain.thresholds).accuracy


def test_calibration_for_an_accuracy_reaches_it_at_less_than_the_default_cost() -> None:
    cached = make_cached(seed=7)
    default = calibrate(cached)
    chosen = calibrate(cached, min_accuracy=default.accuracy - 0.05)
    assert chosen.chosen == "min_accuracy"
    assert default.accuracy - 0.05 <= chosen.accuracy
    assert chosen.mean_macs < default.mean_macs


def test_options_that_contradict_or_cannot_be_had_are_refused() -> None:
    cached = make_cached(seed=8, n=100)
    with pytest.raises(ConfigurationError, match="not by both"):
        calibrate(cached, budget=0.5, min_accuracy=0.5)
    with pytest.raises(ConfigurationError, match="needs at least 500"):
        calibrate(cached, budget=400)
    with pytest.raises(ConfigurationError, match="is not reached at any cost"):
        calibrate(cached, min_accuracy=1.0)


@pytest.mark.parametrize("evidence", [(1.5,), (1.0, 1.5)])
def test_networks_of_one_and_two_exits(evidence: tuple[float, ...]) -> None:
    cached = make_cached(seed=9, n=150, evidence=evidence)
    calibration = calibrate(cached)
    assert calibration.policy.n_exits == len(evidence)
    assert calibration.accuracy > 0.3
