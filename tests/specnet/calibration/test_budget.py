from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support_cached_logits import make_cached

from specnet.calibration import (
    CachedLogits,
    exit_distribution,
    fit_temperatures,
    thresholds_for_budget,
    thresholds_for_distribution,
)
from specnet.calibration.exit_table import ExitTable
from specnet.errors import ConfigurationError
from specnet.exits import NEVER, ExitPolicy, route

HAND_SCORES = np.array(
    [
        [0.9, 0.8, 0.7, 0.6, 0.5, 0.4],
        [0.1, 0.2, 0.99, 0.95, 0.3, 0.85],
        [0.5, 0.5, 0.5, 0.5, 0.5, 0.5],
    ],
    dtype=np.float32,
)


def _policy(cached: CachedLogits, **changes: str) -> ExitPolicy:
    return ExitPolicy(temperatures=fit_temperatures(cached), thresholds=(NEVER,) * cached.n_exits, **changes)


def _cost(cached: CachedLogits, policy: ExitPolicy) -> float:
    exits = route(policy, cached.logits).exit_index
    return float(np.mean([cached.macs[e, i] for i, e in enumerate(exits)]))


def test_hand_computed_case_of_the_msdnet_procedure() -> None:
    # q = 1/2, 1/3, 1/6 of six spectra: three leave at exit 0 (down to 0.7). Of the three left, with scores .95 .3 .85
    # at exit 1, two leave (down to 0.85), although a spectrum already gone has 0.99 there. One reaches the end.
    assert thresholds_for_distribution(HAND_SCORES, [1 / 2, 1 / 3, 1 / 6]) == pytest.approx((0.7, 0.85, 0.0))


def test_counts_are_rounded_down_and_the_rest_goes_to_the_end() -> None:
    # 6 * 0.3 = 1.8 -> 1 leaves at exit 0, and at exit 1 the best of the five left
    assert thresholds_for_distribution(HAND_SCORES, [0.3, 0.3, 0.4]) == pytest.approx((0.9, 0.99, 0.0))
    # 6 * 0.1 = 0.6 -> nobody: the exit is closed
    assert thresholds_for_distribution(HAND_SCORES, [0.1, 0.1, 0.8]) == (NEVER, NEVER, 0.0)


def test_a_share_that_is_exact_on_paper_is_not_lost_to_rounding() -> None:
    scores = np.linspace(0, 1, 10, dtype=np.float32)[np.newaxis].repeat(2, axis=0)
    # 0.1 + 0.2 is above 0.3 and 1 - 0.7 below it in binary; both mean three spectra of ten
    for share in (0.1 + 0.2, 1 - 0.7):
        threshold = thresholds_for_distribution(scores, [share, 1 - share])[0]
        assert int((scores[0] >= np.float32(threshold)).sum()) == 3


def test_whoever_ties_with_the_last_one_taken_leaves_too() -> None:
    scores = np.array([[0.9, 0.5, 0.5, 0.5, 0.1], [0.3, 0.3, 0.3, 0.3, 0.3], [0, 0, 0, 0, 0]], dtype=np.float32)
    thresholds = thresholds_for_distribution(scores, [0.4, 0.4, 0.2])
    # two are wanted at exit 0, four tie down to 0.5; one is left for exit 1, where two were wanted
    assert thresholds == pytest.approx((0.5, 0.3, 0.0))
    table = ExitTable(scores, np.ones((3, 5), dtype=np.bool_), np.ones((3, 5), dtype=np.int64))
    assert table.outcome(thresholds).exit_shares == pytest.approx((0.8, 0.2, 0.0))


def test_an_exit_nobody_reaches_is_closed() -> None:
    scores = np.full((3, 4), 0.5, dtype=np.float32)
    assert thresholds_for_distribution(scores, [0.25, 0.25, 0.5]) == (0.5, NEVER, 0.0)


def test_two_exits() -> None:
    scores = np.array([[0.2, 0.9, 0.6, 0.4], [1, 1, 1, 1]], dtype=np.float32)
    assert thresholds_for_distribution(scores, [0.5, 0.5]) == pytest.approx((0.6, 0.0))


@pytest.mark.parametrize("shares", [[0.5, 0.5], [0.5, 0.2, 0.2], [1.2, -0.1, -0.1], [math.nan, 0.5, 0.5]])
def test_shares_that_are_no_distribution_are_refused(shares: list[float]) -> None:
    with pytest.raises(ConfigurationError, match="expected 3 exit shares that sum to 1"):
        thresholds_for_distribution(HAND_SCORES, shares)


def test_the_exit_distribution_is_geometric() -> None:
    np.testing.assert_allclose(exit_distribution(2.0, 4), np.array([1, 2, 4, 8]) / 15)
    np.testing.assert_allclose(exit_distribution(1.0, 4), 0.25)
    assert exit_distribution(0.0, 3).tolist() == [1, 0, 0]
    assert exit_distribution(math.inf, 3).tolist() == [0, 0, 1]
    np.testing.assert_allclose(exit_distribution(1e300, 64)[-1], 1.0)
    for wrong in (-0.1, math.nan):
        with pytest.raises(ConfigurationError, match="0 or more"):
            exit_distribution(wrong, 3)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.05, 20.0), st.integers(2, 200), st.booleans())
def test_as_many_leave_at_each_exit_as_were_wanted_and_more_only_by_ties(
    seed: int, p: float, n: int, coarse: bool
) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.random((4, n)).astype(np.float32)
    if coarse:
        scores = np.round(scores, 1)
    wanted = exit_distribution(p, 4)
    table = ExitTable(scores, np.ones((4, n), dtype=np.bool_), np.ones((4, n), dtype=np.int64))
    counts = np.round(np.array(table.outcome(thresholds_for_distribution(scores, wanted)).exit_shares) * n)
    floors = np.floor(n * wanted + 1e-6)
    if coarse:
        gone = 0.0
        for k in range(3):
            assert counts[k] >= min(floors[k], n - gone)
            gone += counts[k]
    else:
        assert (counts[:3] == floors[:3]).all()


@pytest.mark.parametrize("combiner", ["last", "mean_log_probability"])
def test_a_budget_is_met_closely_and_never_exceeded(combiner: str) -> None:
    cached = make_cached(seed=6, temperatures=(1.0, 0.5, 2.0, 3.0))
    policy = _policy(cached, combiner=combiner)
    low, high = float(cached.macs[0].mean()), float(cached.macs[-1].mean())
    for share in (0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99):
        budget = low + share * (high - low)
        cost = _cost(cached, thresholds_for_budget(cached, policy, budget))
        assert cost <= budget
        # a hundredth of the range is twelve spectra of 1,200 taking the whole network
        assert cost >= budget - 0.01 * (high - low)


def test_budgets_at_and_beyond_the_ends() -> None:
    cached = make_cached(seed=7)
    policy = _policy(cached)
    low, high = float(cached.macs[0].mean()), float(cached.macs[-1].mean())
    assert set(route(thresholds_for_budget(cached, policy, low), cached.logits).exit_index.tolist()) == {0}
    for budget in (high, 10 * high):
        assert set(route(thresholds_for_budget(cached, policy, budget), cached.logits).exit_index.tolist()) == {3}
    for budget in (0.99 * low, -1.0, math.nan):
        with pytest.raises(ConfigurationError, match=rf"at least {low:,.0f} .* at most {high:,.0f}"):
            thresholds_for_budget(cached, policy, budget)


def test_a_budget_keeps_everything_else_of_the_policy() -> None:
    cached = make_cached(seed=8)
    policy = _policy(cached, combiner="last", score="margin")
    solved = thresholds_for_budget(cached, policy, float(cached.macs[1].mean()))
    assert (solved.temperatures, solved.combiner, solved.score) == (policy.temperatures, "last", "margin")


def test_a_budget_with_two_exits_and_everyone_tied_lets_all_leave_early() -> None:
    logits = np.zeros((2, 10, 3), dtype=np.float32)
    cached = CachedLogits(logits, np.zeros(10, dtype=np.int64), np.repeat([[1], [9]], 10, axis=1), 9)
    policy = ExitPolicy(temperatures=(1.0, 1.0), thresholds=(NEVER, 0.0))
    # either all leave at exit 0 or none does: with 5 MACs only the first can be paid
    assert _cost(cached, thresholds_for_budget(cached, policy, 5.0)) == 1.0
    assert _cost(cached, thresholds_for_budget(cached, policy, 9.0)) == 9.0


def test_the_cost_of_each_spectrum_counts_and_not_the_mean_of_its_exit() -> None:
    """Confident spectra are cheap here, so an average over all would say that the budget is broken."""
    cached = make_cached(seed=9)
    policy = _policy(cached)
    order = np.argsort(np.argsort(-route(policy, cached.logits).all_scores[1]))
    macs = np.stack([np.full(cached.n_spectra, 500), 1000 + 100 * order, 200_000 + 100 * order, 300_000 + 100 * order])
    skewed = CachedLogits(cached.logits, cached.labels, macs.astype(np.int64), cached.static_macs)
    solved = thresholds_for_budget(skewed, policy, 50_000.0)
    exits = route(solved, skewed.logits).exit_index
    by_mean = float(np.mean(skewed.macs.mean(axis=1)[exits]))
    assert 45_000 < _cost(skewed, solved) <= 50_000
    assert abs(by_mean - _cost(skewed, solved)) > 1000


def test_the_table_of_exits_agrees_with_route() -> None:
    cached = make_cached(seed=10)
    policy = ExitPolicy(temperatures=fit_temperatures(cached), thresholds=(0.7, NEVER, 0.6, 0.0))
    outcome = ExitTable.of(cached, policy).outcome(policy.thresholds)
    routing = route(policy, cached.logits)
    np.testing.assert_array_equal(outcome.exit_index, routing.exit_index)
    assert outcome.accuracy == (routing.probabilities.argmax(axis=1) == cached.labels).mean()
    assert outcome.mean_macs == _cost(cached, policy)
