from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support_cached_logits import make_cached

from specnet.calibration import CachedLogits, fit_temperature, fit_temperatures
from specnet.calibration.combiner import choose_combination, choose_combiner
from specnet.calibration.folds import cross_fitting, stratified_folds
from specnet.calibration.gate import fit_gate
from specnet.calibration.geometric import PRIOR_SPECTRA, fit_geometric
from specnet.calibration.temperature import T_MAX, T_MIN, negative_log_likelihood
from specnet.exits import SCORES, log_softmax

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
    likelihoods = choose_combination(independent, biased=False).likelihoods
    assert likelihoods["mean_log_probability"] < likelihoods["last"]
    # the mean of independent exits is too modest, and weights can mend that
    assert choose_combiner(likelihoods) == "geometric"
    # each exit of this one already holds what the exits before it knew, so averaging only brings the past back
    nested = choose_combination(make_cached(seed=0), biased=False).likelihoods
    assert nested["last"] < nested["mean_log_probability"]


def test_likelihood_of_the_last_combiner_is_the_held_out_mean_over_exits_after_the_first() -> None:
    cached = make_cached(seed=2, n=300)
    folds = stratified_folds(cached.labels)
    losses = np.zeros(cached.n_spectra)
    for fold in range(5):
        fitting, held = cached.take(np.flatnonzero(folds != fold)), np.flatnonzero(folds == fold)
        for k, t in list(enumerate(fit_temperatures(fitting)))[1:]:
            log_p = log_softmax(cached.logits[k, held] / np.float32(t))
            losses[held] -= log_p[np.arange(len(held)), cached.labels[held]] / 3
    assert choose_combination(cached, biased=False).likelihoods["last"] == pytest.approx(losses.mean(), abs=1e-5)


@pytest.mark.parametrize("n", [1, 9, 30, 173])
def test_folds_spread_classes_and_sizes_evenly(n: int) -> None:
    labels = np.random.default_rng(n).integers(0, 4, n)
    folds = stratified_folds(labels)
    sizes = np.bincount(folds, minlength=5)
    assert sizes.max() - sizes.min() <= 1
    for label in range(4):
        counts = np.bincount(folds[labels == label], minlength=5)
        assert counts.max() - counts.min() <= 1
    np.testing.assert_array_equal(folds, stratified_folds(labels))
    assert n < 30 or (folds != stratified_folds(labels, seed=1)).any()


def test_folds_keep_groups_together_and_spread_them_evenly() -> None:
    rng = np.random.default_rng(0)
    groups = rng.permutation(np.repeat(np.arange(60), 3))
    labels = groups % 4
    folds = stratified_folds(labels, groups=groups)
    assert all(len(np.unique(folds[groups == group])) == 1 for group in range(60))
    for label in range(4):
        assert set(np.bincount(folds[labels == label], minlength=5)) == {9}


def test_cross_fitting_judges_a_group_by_others_and_every_spectrum_once() -> None:
    cached = replace(make_cached(seed=0, n=90), groups=np.arange(90) % 30)
    judged = np.zeros(90, dtype=int)
    for fitting, rows in cross_fitting(cached):
        judged[rows] += 1
        assert not set(fitting.groups.tolist()) & set(cached.groups[rows].tolist())
    assert (judged == 1).all()
    few = replace(cached, groups=np.arange(90) % 9)
    ((fitting, rows),) = cross_fitting(few)
    assert fitting.n_spectra == len(rows) == 90, "nine groups cannot be held back from each other"


def _fit(exits: np.ndarray, labels: np.ndarray, prior: float = PRIOR_SPECTRA) -> np.ndarray:
    return np.array(fit_geometric(log_softmax(exits.astype(np.float32)), labels, prior))


def test_geometric_weights_without_data_are_those_of_the_mean_and_with_data_the_best() -> None:
    cached = _independent_exits(1)
    log_p = log_softmax(cached.logits)
    mean = [(0.0, 1.0), (1 / 2, 1 / 2), (2 / 3, 1 / 3)]
    np.testing.assert_allclose(_fit(cached.logits, cached.labels, prior=1e9), mean, atol=1e-4)
    fitted = _fit(cached.logits, cached.labels)
    # these exits are independent and calibrated but for their temperature: all weights the same, and not a mean
    assert fitted[1].sum() > 1.2

    def loss(a: float, b: float) -> float:
        return negative_log_likelihood(log_softmax(a * log_p[0] + b * log_p[1]), cached.labels)

    free = _fit(cached.logits, cached.labels, prior=0.0)
    best = min(loss(a, b) for a in np.linspace(0, 2, 41) for b in np.linspace(0, 2, 41))
    assert loss(*free[1]) <= best + 1e-6


def test_the_pull_to_the_mean_matters_with_a_hundred_spectra_and_not_with_five_thousand() -> None:
    cached = _independent_exits(2)
    rows = np.resize(np.arange(2000), 5000)
    for n, low, high in ((100, 0.1, 0.9), (5000, 0.0, 0.12)):
        few = cached.take(rows[:n])
        pulled, free = _fit(few.logits, few.labels)[1], _fit(few.logits, few.labels, prior=0.0)[1]
        share = np.linalg.norm(pulled - free) / np.linalg.norm(free - 0.5)
        assert low <= share <= high


def test_a_useless_exit_gets_no_weight() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 3000)
    good = 3 * np.eye(4)[labels] + rng.standard_normal((3000, 4))
    weights = _fit(np.stack([good, 3 * rng.standard_normal((3000, 4))]), labels, prior=0.0)
    assert weights[1, 1] < 0.05
    weights = _fit(np.stack([3 * rng.standard_normal((3000, 4)), good]), labels, prior=0.0)
    assert weights[1, 0] < 0.05


def test_additive_temperatures_are_of_the_sum_with_exit_0() -> None:
    cached = make_cached(seed=3, n=4000, temperatures=TRUE)
    rest = cached.logits.copy()
    rest[1:] -= rest[0]
    added = CachedLogits(rest, cached.labels, cached.macs, cached.static_macs)
    np.testing.assert_allclose(fit_temperatures(added, additive=True), fit_temperatures(cached), rtol=1e-3)
    assert fit_temperatures(added)[1] != pytest.approx(fit_temperatures(cached)[1], rel=0.05)


def test_the_gate_knows_which_confident_answers_are_wrong() -> None:
    """This exit is as sure of class 0 as of the others, and mostly wrong there; the gate sees agreement instead."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 3000)
    sure = np.where(rng.random(3000) < 0.7, labels, (labels + 1) % 3)
    again = np.where(rng.random(3000) < 0.7, labels, (labels + 2) % 3)
    probabilities = np.stack([0.8 * np.eye(3)[sure] + 0.2 / 3, 0.8 * np.eye(3)[again] + 0.2 / 3]).astype(np.float32)
    rows = fit_gate(probabilities, labels)
    state, gate = np.zeros((3000, 1), dtype=np.float32), SCORES["gate"]
    for k, p in enumerate(probabilities):
        score, state = gate(k, p, state, rows[k])
    right, agree = again == labels, sure == again
    for group in (agree, ~agree):
        assert score[group].mean() == pytest.approx(right[group].mean(), abs=0.02)


def test_a_gate_of_an_exit_without_a_mistake_stays_finite() -> None:
    p = np.tile(np.array([[0.9, 0.1]], dtype=np.float32), (2, 20, 1))
    rows = np.array(fit_gate(p, np.zeros(20, dtype=np.int64)))
    assert np.isfinite(rows).all()
    assert np.abs(rows).max() < 100
