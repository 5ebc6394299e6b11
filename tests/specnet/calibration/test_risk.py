"""Promises about risk: kept over many calibration splits drawn from a population whose risk is known."""

from __future__ import annotations

import math
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom
from support_cached_logits import make_cached

from specnet.calibration import RiskMethod, calibrate
from specnet.calibration.betting import refuted, upper_bound
from specnet.calibration.exit_table import ExitTable
from specnet.calibration.folds import stratified_folds
from specnet.calibration.risk import confidence_grid, control_risk, gap_losses, lowest_by_bound, lowest_by_expectation
from specnet.errors import ConfigurationError
from specnet.exits import NEVER, route

RESAMPLES = 1000
MAX_RISK = 0.03
CONFIDENCE = 0.9


@pytest.fixture(scope="module")
def population() -> NDArray[np.float64]:
    """Losses ``(G, N)`` of a large population at every threshold; row means are the true risks."""
    cached = make_cached(seed=0, n=20_000)
    policy = calibrate(make_cached(seed=1, n=400)).policy
    table = ExitTable.of(cached, policy)
    return gap_losses(table, np.concatenate([[NEVER], np.linspace(1.0, 0.2, 60)]))


def _risks(population: NDArray[np.float64], n: int, method: str) -> NDArray[np.float64]:
    """True risk of the threshold that a method chooses on each of many calibration splits of n spectra."""
    true, rng = population.mean(axis=1), np.random.default_rng(0)
    found = []
    for _ in range(RESAMPLES):
        losses = population[:, rng.integers(0, population.shape[1], n)]
        if method == "ucb":
            chosen = lowest_by_bound(losses, MAX_RISK, CONFIDENCE)
        elif method == "crc":
            chosen = lowest_by_expectation(losses, MAX_RISK)
        else:
            chosen = int(np.flatnonzero(losses.mean(axis=1) <= MAX_RISK)[-1])
        found.append(true[chosen])
    return np.array(found)


def test_the_true_risk_rises_as_the_threshold_falls(population: NDArray[np.float64]) -> None:
    true = population.mean(axis=1)
    assert true[0] == 0
    assert true[-1] > 2 * MAX_RISK


def test_the_upper_bound_keeps_its_promise_over_resampled_calibration_splits(population: NDArray[np.float64]) -> None:
    risks = _risks(population, 300, "ucb")
    violations = int((risks > MAX_RISK).sum())
    assert violations <= binom.ppf(0.999, RESAMPLES, 1 - CONFIDENCE)
    # it is not safe by never leaving early
    assert np.median(risks) > MAX_RISK / 10


def test_a_choice_without_a_bound_breaks_the_promise(population: NDArray[np.float64]) -> None:
    risks = _risks(population, 300, "plain")
    assert int((risks > MAX_RISK).sum()) > 3 * binom.ppf(0.999, RESAMPLES, 1 - CONFIDENCE)


def test_conformal_risk_control_keeps_its_promise_on_average(population: NDArray[np.float64]) -> None:
    risks = _risks(population, 300, "crc")
    assert risks.mean() <= MAX_RISK + 3 * risks.std() / math.sqrt(RESAMPLES)
    assert risks.mean() > MAX_RISK / 10


@pytest.mark.parametrize(("low", "high", "rate"), [(0.0, 1.0, 0.03), (-1.0, 1.0, 0.5), (-1.0, 0.0, 0.2)])
def test_the_bound_of_a_mean_is_rarely_below_it(low: float, high: float, rate: float) -> None:
    rng = np.random.default_rng(0)
    losses = np.where(rng.random((RESAMPLES, 200)) < rate, high, low)
    mean = low + (high - low) * rate
    # an upper bound lies below the true mean where the true mean is refuted
    assert int(refuted(losses, mean, CONFIDENCE).sum()) <= binom.ppf(0.999, RESAMPLES, 1 - CONFIDENCE)
    for row in losses[:5]:
        bound = upper_bound(row, CONFIDENCE)
        assert row.mean() < bound
        assert refuted(row[np.newaxis], bound + 1e-6, CONFIDENCE)[0]
        assert not refuted(row[np.newaxis], bound - 1e-6, CONFIDENCE)[0]


def test_the_bound_closes_in_with_more_spectra() -> None:
    rng = np.random.default_rng(0)
    losses = (rng.random(20_000) < 0.02).astype(float)
    bounds = [upper_bound(losses[:n], 0.95) for n in (100, 1000, 20_000)]
    assert bounds[0] > bounds[1] > bounds[2]
    assert bounds[2] == pytest.approx(0.02, abs=0.005)


def test_hand_computed_choice_by_expectation() -> None:
    # nine spectra; sums of the largest losses so far are 0, 1, 1, 3: (sum + 1) / 10
    losses = np.zeros((4, 9))
    losses[1, 0], losses[2, 0], losses[2, 1], losses[3, :3] = 1, -1, 0, 1
    assert lowest_by_expectation(losses, 0.2) == 2
    assert lowest_by_expectation(losses, 0.19) == 0
    assert lowest_by_expectation(losses, 0.4) == 3


def test_losses_are_what_leaving_early_changes() -> None:
    cached = make_cached(seed=2, n=300)
    policy = calibrate(cached).policy
    table = ExitTable.of(cached, policy)
    grid = confidence_grid(table)
    assert grid[0] == NEVER
    assert (np.diff(grid) < 0).all()
    losses = gap_losses(table, grid)
    assert not losses[0].any()
    everyone_at_0 = table.correct[-1].astype(int) - table.correct[0]
    np.testing.assert_array_equal(gap_losses(table, np.array([0.0]))[0], everyone_at_0)


@pytest.mark.parametrize("method", list(RiskMethod))
def test_calibration_with_a_risk_keeps_it_on_spectra_never_seen(method: RiskMethod) -> None:
    calibration = calibrate(make_cached(seed=3, n=4000), max_risk=0.02, risk_method=method)
    assert (calibration.chosen, calibration.notes) == ("risk", [])
    risk = calibration.risk
    assert risk is not None
    assert (risk.method, risk.n_risk, risk.max_risk, risk.confidence) == (method, 2000, 0.02, 0.95)
    assert 0 < risk.risk_bound <= 0.02
    assert 0 < risk.least_risk < 0.01
    assert set(calibration.policy.thresholds[:-1]) == {risk.threshold}
    test = make_cached(seed=4, n=20_000)
    routing = route(calibration.policy, test.logits)
    right = (routing.all_probabilities.argmax(axis=-1) == test.labels).mean(axis=1)
    routed = (routing.probabilities.argmax(axis=1) == test.labels).mean()
    assert routed >= right[-1] - 0.02 - 0.003
    # and much is saved by it
    assert test.macs[routing.exit_index, np.arange(20_000)].mean() < 0.9 * test.macs[-1].mean()


def test_too_few_spectra_never_leave_early_and_are_told_what_they_could_support() -> None:
    calibration = calibrate(make_cached(seed=5, n=120), max_risk=0.001)
    risk = calibration.risk
    assert risk is not None
    assert calibration.policy.thresholds == (NEVER, NEVER, NEVER, 0.0)
    assert (risk.n_risk, risk.threshold, risk.risk_bound) == (60, NEVER, 0.0)
    # a bet of nine tenths of the capital at best: (1 + 0.9 eps / 2 ...)^60 = 20
    assert 0.04 < risk.least_risk < 0.15
    assert f"could support a risk of {risk.least_risk:.4f}" in calibration.notes[0]
    # what is said to be possible is possible when early exits make no mistake, and nothing below it is
    for factor, possible in ((1.01, True), (0.99, False)):
        assert refuted(np.zeros((1, 60)), factor * risk.least_risk, 0.95)[0] == possible


@pytest.mark.parametrize("groups", [None, np.arange(600) // 3], ids=["spectra", "groups"])
@pytest.mark.parametrize("options", [{"max_risk": 0.05}, {"false_alarm": 0.1}])
def test_nothing_else_is_fitted_on_the_spectra_held_back(
    options: dict[str, float], groups: NDArray[np.int64] | None
) -> None:
    """Noise in place of the half held back changes what is promised, and nothing else; groups are held back whole."""
    cached = replace(make_cached(seed=6, n=600), groups=groups)
    folds = stratified_folds(cached.labels, 2, seed=1, groups=groups)
    assert groups is None or not set(groups[folds == 0]) & set(groups[folds == 1])
    held = np.flatnonzero(folds == 1)
    logits = cached.logits.copy()
    logits[:, held] = np.random.default_rng(0).standard_normal((4, len(held), 6))
    one = calibrate(cached, **options)  # type: ignore[arg-type]
    two = calibrate(replace(cached, logits=logits), **options)  # type: ignore[arg-type]
    assert one.policy != two.policy
    assert (one.front, one.combiner_nll) == (two.front, two.combiner_nll)
    for name in ("default", "fast", "accurate"):
        kept = [
            msgspec.structs.replace(calibration.operating_points[name], reject_threshold=0.0)
            for calibration in (one, two)
        ]
        assert kept[0] == kept[1]


def test_one_group_alone_supports_no_promise() -> None:
    cached = replace(make_cached(seed=6, n=60), groups=np.zeros(60, dtype=np.int64))
    with pytest.raises(ConfigurationError, match="a guarantee needs 2 calibration groups at least, got 1"):
        calibrate(cached, max_risk=0.05)


def test_one_exit_has_nothing_to_leave_early() -> None:
    cached = make_cached(seed=7, n=80, evidence=(1.5,))
    table = ExitTable.of(cached, calibrate(cached).policy)
    assert control_risk(table, table, 0.01).threshold == NEVER


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_risk": 0.0}, "risk is a share"),
        ({"max_risk": 1.0}, "risk is a share"),
        ({"max_risk": float("nan")}, "risk is a share"),
        ({"max_risk": 0.1, "confidence": 1.0}, "confidence is above 0 and below 1, got 1.0"),
        ({"max_risk": 0.1, "confidence": float("nan")}, "confidence is above 0"),
        ({"max_risk": 0.1, "risk_method": "luck"}, "unknown risk method 'luck'; known: ucb, crc"),
        ({"max_risk": 0.1, "budget": 0.5}, "not by both"),
        ({"score": "charm"}, "unknown score 'charm'"),
        ({"false_alarm": 0.1, "reject_score": "taste"}, "unknown reject score 'taste'"),
        ({"false_alarm": 0.0}, "rate of false alarms is above 0"),
        ({"false_alarm": 1.5}, "rate of false alarms is above 0"),
    ],
)
def test_bad_values_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        calibrate(make_cached(seed=0, n=60), **options)  # type: ignore[arg-type]


def test_a_loss_out_of_range_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="losses are -1 to 1, got 0 to 2"):
        refuted(np.array([[0.0, 2.0]]), 0.5, 0.9)
