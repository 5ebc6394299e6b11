from __future__ import annotations

import math

import numpy as np
import pytest
from support_cached_logits import make_cached

from specnet.calibration import calibrate, conformal_threshold
from specnet.calibration.reject import ALL_KNOWN
from specnet.errors import ConfigurationError
from specnet.exits import REJECT_SCORES, route


def test_hand_computed_threshold() -> None:
    scores = np.array([0.5, 0.1, 0.9, 0.3, 0.7, 0.2, 0.4, 0.8, 0.6], dtype=np.float32)
    # nine spectra: ranks of ten; at 0.2 the eighth smallest, at 0.1 the ninth, below that none would do
    assert conformal_threshold(scores, 0.2) == pytest.approx(0.8)
    assert conformal_threshold(scores, 0.25) == pytest.approx(0.8)
    assert conformal_threshold(scores, 0.1) == pytest.approx(0.9)
    assert conformal_threshold(scores, 0.09) == ALL_KNOWN


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, math.nan])
def test_what_is_no_rate_is_refused(rate: float) -> None:
    with pytest.raises(ConfigurationError, match="above 0 and below 1"):
        conformal_threshold(np.zeros(5, dtype=np.float32), rate)


@pytest.mark.parametrize("n", [25, 100])
def test_the_false_alarm_rate_is_kept_on_average_over_resampled_calibration_splits(n: int) -> None:
    cached = make_cached(seed=0, n=20_000)
    policy = calibrate(make_cached(seed=1, n=300)).policy
    population = np.sort(route(policy, cached.logits).reject_scores)
    rng = np.random.default_rng(0)
    rates = []
    for _ in range(1000):
        threshold = conformal_threshold(rng.choice(population, n), 0.1)
        rates.append(1 - np.searchsorted(population, np.float32(threshold), side="right") / len(population))
    assert np.mean(rates) <= 0.1 + 3 * np.std(rates) / math.sqrt(1000)
    # exact up to the step of one rank
    assert np.mean(rates) >= 0.1 - 1 / (n + 1) - 0.01


@pytest.mark.parametrize("score", sorted(REJECT_SCORES))
def test_calibration_gives_every_operating_point_its_threshold(score: str) -> None:
    calibration = calibrate(make_cached(seed=2, n=1500), false_alarm=0.1, reject_score=score)
    assert calibration.reject is not None
    assert (calibration.reject.n_reject, calibration.reject.score, calibration.notes) == (750, score, [])
    test = make_cached(seed=3, n=10_000)
    for policy in calibration.operating_points.values():
        assert policy.reject == score
        # one calibration split of 750: the rate varies around the promise by about a hundredth
        assert (~route(policy, test.logits).known).mean() == pytest.approx(0.1, abs=0.035)


def test_risk_and_rejection_rest_on_spectra_of_their_own() -> None:
    calibration = calibrate(make_cached(seed=4, n=1500), max_risk=0.1, false_alarm=0.05)
    assert calibration.risk is not None
    assert calibration.reject is not None
    assert (calibration.risk.n_risk, calibration.reject.n_reject) == (500, 500)
    assert calibration.policy.reject == "improbability"


def test_too_few_spectra_reject_nothing_and_are_told_so() -> None:
    calibration = calibrate(make_cached(seed=5, n=60), false_alarm=0.01)
    assert calibration.policy.reject_threshold == ALL_KNOWN
    assert "30 spectra support a false-alarm rate of 0.0323 at least, not 0.01" in calibration.notes[0]
    assert route(calibration.policy, make_cached(seed=6, n=200).logits).known.all()


def test_a_guarantee_from_a_single_spectrum_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"at least 3 spectra, got 2|3 calibration spectra at least, got 2"):
        calibrate(make_cached(seed=7, n=2), max_risk=0.1, false_alarm=0.1)
