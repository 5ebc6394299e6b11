"""Biases of classes: found where there are any, left out where there are none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support_cached_logits import make_cached

from specnet.calibration import CachedLogits, calibrate
from specnet.calibration.class_bias import biases_plausible, fit_biased, fit_biases
from specnet.calibration.combiner import choose_combination
from specnet.calibration.temperature import fit_temperature, negative_log_likelihood
from specnet.exits import log_softmax, route

TRUE = (1.0, 0.4, 2.5, 6.0)
SHIFT = np.array([1.5, -0.5, 0.0, -1.5, 0.5, 0.0])


def _shifted(seed: int, n: int = 4000, shift: np.ndarray = SHIFT) -> CachedLogits:
    """Logits that give class c too much: `shift` nats in the tempered logits of every exit."""
    cached = make_cached(seed=seed, n=n, temperatures=TRUE)
    added = np.asarray(TRUE)[:, np.newaxis, np.newaxis] * shift
    return replace(cached, logits=(cached.logits + added).astype(np.float32))


def test_shifts_and_temperatures_are_recovered() -> None:
    temperatures, biases = fit_biases(_shifted(0, n=20_000))
    np.testing.assert_allclose(temperatures, TRUE, rtol=0.06)
    for row in biases:
        np.testing.assert_allclose(row, -SHIFT, atol=0.2)
        assert sum(row) == pytest.approx(0.0, abs=1e-3)


def test_no_step_away_from_what_was_found_is_better() -> None:
    cached = _shifted(1, n=300)
    prior = 5.0
    logits, labels = cached.logits[2].astype(np.float64), cached.labels
    temperature, biases = fit_biased(cached.logits[2], labels, prior)

    def loss(sharpness: float, b: np.ndarray) -> float:
        likelihood = negative_log_likelihood(log_softmax(sharpness * logits + b), labels)
        return likelihood + prior * float((b**2).sum()) / len(labels)

    best, rng = loss(1 / temperature, np.array(biases)), np.random.default_rng(0)
    for _ in range(300):
        away = 0.02 * rng.standard_normal(7)
        assert loss((1 + away[0]) / temperature, np.array(biases) + away[1:]) > best - 1e-6


def test_with_few_spectra_they_are_pulled_to_none() -> None:
    few, many = _shifted(2, n=60), _shifted(2, n=6000)
    lengths = [np.linalg.norm(fit_biased(cached.logits[3], cached.labels)[1]) for cached in (few, many)]
    assert lengths[0] < 0.1 * np.linalg.norm(SHIFT) < 0.7 * np.linalg.norm(SHIFT) < lengths[1]
    temperature, none = fit_biased(few.logits[3], few.labels, 1e9)
    assert not np.any(none)
    assert temperature == pytest.approx(fit_temperature(few.logits[3], few.labels), rel=1e-2)


def test_a_class_without_a_spectrum_and_perfect_exits_stay_finite() -> None:
    labels = np.arange(30) % 2
    temperature, biases = fit_biased(5 * np.eye(3, dtype=np.float32)[labels], labels)
    assert np.isfinite([temperature, *biases]).all()


def test_additive_biases_are_of_the_sum_with_exit_0() -> None:
    cached = _shifted(3)
    rest = cached.logits.copy()
    rest[1:] -= rest[0]
    added = fit_biases(replace(cached, logits=rest), additive=True)
    whole = fit_biases(cached)
    np.testing.assert_allclose(added[0], whole[0], rtol=1e-2)
    np.testing.assert_allclose(added[1], whole[1], atol=1e-2)


def test_they_are_used_where_classes_are_misjudged_and_not_elsewhere() -> None:
    shifted = choose_combination(_shifted(4, n=600))
    assert shifted.biased
    assert shifted.bias_gain is not None
    assert shifted.bias_gain > 0.02
    assert biases_plausible(_shifted(4, n=600))
    for seed in range(5):
        fair = choose_combination(make_cached(seed=seed, n=600))
        assert not fair.biased
        assert fair.bias_gain is None, "not worth trying"
    assert choose_combination(make_cached(seed=0, n=600), biased=True).biased
    assert not choose_combination(_shifted(4, n=600), biased=False).biased


def test_groups_decide_whether_they_hold_for_others() -> None:
    """Ten subjects, each misjudged in a way of its own: within a subject a bias helps, for the next one it does not."""
    rng = np.random.default_rng(0)
    cached = make_cached(seed=5, n=1200)
    subjects = np.arange(1200) % 10
    # each subject has spectra of one class, as patients do; what is misjudged is the subject
    labels = subjects % 6
    logits = cached.logits + 2.0 * np.eye(6)[labels] - 2.0 * np.eye(6)[cached.labels]
    logits += 1.5 * rng.standard_normal((10, 6))[subjects]
    own = CachedLogits(logits.astype(np.float32), labels, cached.macs, cached.static_macs)
    alone = choose_combination(own)
    together = choose_combination(replace(own, groups=subjects))
    assert alone.biased
    assert alone.bias_gain is not None
    assert together.bias_gain is not None
    assert together.bias_gain < 0.5 * alone.bias_gain


def test_calibration_of_misjudged_classes_is_right_more_often_on_other_spectra() -> None:
    held, test = _shifted(6, n=1500), _shifted(7, n=4000)

    def accuracy(*, class_bias: bool | None) -> float:
        policy = calibrate(held, class_bias=class_bias).policy
        return float((route(policy, test.logits).probabilities.argmax(axis=1) == test.labels).mean())

    found = calibrate(held)
    assert found.policy.biases
    assert found.bias_gain is not None
    assert found.bias_gain > 0.02
    (note,) = found.notes
    assert f"calibration spectra are {found.bias_gain:.3f} nats likelier with it, so they differ" in note
    forced = calibrate(make_cached(seed=3, n=600), class_bias=True)
    assert forced.notes[0].endswith("nats less likely with it")
    assert accuracy(class_bias=None) == accuracy(class_bias=True) > accuracy(class_bias=False) + 0.02
    assert not calibrate(make_cached(seed=0, n=600)).policy.biases


def test_a_risk_is_controlled_with_biases_too() -> None:
    calibration = calibrate(_shifted(8, n=3000), max_risk=0.05)
    assert calibration.policy.biases
    assert calibration.risk is not None
    assert calibration.risk.n_risk == 1500
