from __future__ import annotations

import numpy as np
import pytest
from support_cached_logits import make_cached

from specnet.calibration import CachedLogits, fit_temperature, fit_temperatures
from specnet.calibration.combiner import choose_combiner, combiner_likelihoods
from specnet.calibration.temperature import T_MAX, T_MIN, negative_log_likelihood
from specnet.exits import log_softmax

TRUE = (1.0, 0.4, 2.5, 6.0)


def test_the_temperatures_that_logits_were_multiplied_by_are_recovered() -> None:
    cached = make_cached(seed=0, n=20_000, temperatures=TRUE)
    np.testing.assert_allclose(fit_temperatures(cached), TRUE, rtol=0.04)


def test_no_temperature_of_a_fine_grid_has_a_smaller_likelihood_loss() -> None:
    cached = make_cached(seed=1, n=500, temperatures=TRUE)
    for logits in cached.logits:
        best = fit_temperature(logits, cached.labels)

        def loss(t: float, logits: np.ndarray = logits) -> float:
            return negative_log_likelihood(log_softmax(logits / np.float32(t)), cached.labels)

        grid = np.geomspace(T_MIN, T_MAX, 2001)
        assert loss(best) <= min(loss(float(t)) for t in grid) + 1e-6


def test_an_exit_that_knows_nothing_is_made_as_unsure_as_allowed() -> None:
    rng = np.random.default_rng(0)
    logits = (5 * rng.standard_normal((800, 4))).astype(np.float32)
    labels = rng.integers(0, 4, 800)
    assert fit_temperature(logits, labels) > 0.9 * T_MAX


def test_an_exit_without_a_mistake_keeps_a_finite_temperature() -> None:
    labels = np.arange(30) % 3
    temperature = fit_temperature(np.eye(3, dtype=np.float32)[labels] * 4, labels)
    # sharper is always better here, down to where single precision sees no difference
    assert T_MIN <= temperature < 0.3


def test_likelihood_of_a_hand_computed_case() -> None:
    log_p = np.log(np.array([[0.5, 0.5], [0.25, 0.75]]))
    assert negative_log_likelihood(log_p, np.array([0, 1])) == pytest.approx(-(np.log(0.5) + np.log(0.75)) / 2)


def _independent_exits(seed: int) -> CachedLogits:
    """Exits of equal quality that err independently: averaging them gains."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 5, 2000)
    logits = 1.5 * (1.5 * np.eye(5)[labels] + rng.standard_normal((3, 2000, 5)))
    macs = np.tile(np.array([[10], [20], [30]]), (1, 2000))
    return CachedLogits(logits.astype(np.float32), labels, macs, 40)


def test_the_combiner_is_chosen_by_the_data() -> None:
    independent = _independent_exits(0)
    likelihoods = combiner_likelihoods(independent, fit_temperatures(independent))
    assert choose_combiner(likelihoods) == "mean_log_probability"
    # each exit of this one already holds what the exits before it knew, so averaging only brings the past back
    nested = make_cached(seed=0)
    assert choose_combiner(combiner_likelihoods(nested, fit_temperatures(nested))) == "last"


def test_likelihood_of_the_last_combiner_is_the_mean_over_exits_after_the_first() -> None:
    cached = make_cached(seed=2, n=300)
    temperatures = fit_temperatures(cached)
    losses = [
        negative_log_likelihood(log_softmax(logits / np.float32(t)), cached.labels)
        for logits, t in zip(cached.logits, temperatures, strict=True)
    ]
    assert combiner_likelihoods(cached, temperatures)["last"] == pytest.approx(np.mean(losses[1:]), abs=1e-5)
