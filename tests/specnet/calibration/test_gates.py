"""Gates fitted on calibration spectra: what they predict, and that costs count where they should."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from specnet.calibration import CachedLogits, calibrate
from specnet.calibration.candidates import generate_candidates
from specnet.calibration.exit_table import ExitTable
from specnet.calibration.gate import fit_gate
from specnet.calibration.joint_gate import fit_joint_gate
from specnet.calibration.recipe import FITTERS, Recipe
from specnet.calibration.schedule import fit_schedule, scheduled_shares
from specnet.errors import ConfigurationError
from specnet.exits import SCORES, gate_features

N = 4000
STATIC_MACS = 1000
EASY, HARD = 0.98, 0.4


@pytest.fixture(scope="module")
def spectra() -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """Answers of three exits: the first sure of half of the spectra, the second of a quarter more, the last of most."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, N)
    sure = np.zeros((3, N), dtype=bool)
    sure[0] = np.arange(N) % 2 == 0
    sure[1] = sure[0] | (np.arange(N) % 4 == 1)
    sure[2] = np.arange(N) % 20 != 19
    top = np.where(sure, EASY, HARD) + rng.uniform(-0.01, 0.01, (3, N))
    found = np.where(rng.random((3, N)) < top, labels, (labels + 1) % 3)
    p = np.repeat(((1 - top) / 2)[..., None], 3, axis=2)
    np.put_along_axis(p, found[..., None], top[..., None], axis=2)
    macs = np.repeat(np.array([100, 400, STATIC_MACS])[:, None], N, axis=1)
    return p.astype(np.float32), labels, macs


def scores(parameters: tuple[tuple[float, ...], ...], p: NDArray[np.float32]) -> NDArray[np.float32]:
    """Score ``(E, n)`` of the learned gate."""
    found, state = [], np.zeros((p.shape[1], 1), dtype=np.float32)
    for k, (answer, row) in enumerate(zip(p, parameters, strict=True)):
        score, state = SCORES["joint_gate"](k, answer, state, row)
        found.append(score)
    return np.array(found)


def test_a_gate_predicts_how_often_an_exit_is_right(
    spectra: tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]],
) -> None:
    p, labels, _ = spectra
    for score, answer in zip(scores(fit_gate(p, labels), p), p, strict=True):
        sure = answer.max(axis=1) > 0.9
        right = answer.argmax(axis=1) == labels
        for group in (sure, ~sure):
            assert score[group].mean() == pytest.approx(right[group].mean(), abs=0.03)


@pytest.mark.parametrize("price", [0.01, 0.1])
def test_the_joint_gate_lets_go_where_going_on_gains_little(
    spectra: tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]], price: float
) -> None:
    p, labels, macs = spectra
    first, _, last = scores(fit_joint_gate(p, labels, macs, STATIC_MACS, price=price), p)
    sure = p[0].max(axis=1) > 0.9
    assert first[sure].min() > 0.5 > first[~sure].max()
    assert (last > 0.5).all()  # behind it there is nothing


def test_a_high_price_opens_the_first_exit(
    spectra: tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]],
) -> None:
    p, labels, macs = spectra
    shares = [
        (scores(fit_joint_gate(p, labels, macs, STATIC_MACS, price=price), p)[0] > 0.5).mean()
        for price in (0.1, 0.5, 3.0, 100.0)
    ]
    assert shares == sorted(shares)
    assert shares[0] < 0.6
    assert shares[-1] == 1.0


def test_without_a_price_the_target_is_the_least_loss(
    spectra: tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]],
) -> None:
    p, labels, macs = spectra
    parameters = fit_joint_gate(p, labels, macs, STATIC_MACS, price=0.0)
    right = np.take_along_axis(p, labels[None, :, None], axis=2)[..., 0]
    leaves = right.argmax(axis=0) == 0
    features = gate_features(0, p[0], np.zeros(N, dtype=np.float32))
    odds = features @ np.array(parameters[0])
    # a fitted bias makes the weighted mean prediction that of the targets
    weight = np.clip((~leaves).sum() / leaves.sum(), 1.0, 5.0)
    weights = np.where(leaves, weight, 1.0)
    predicted = (weights / (1 + np.exp(-odds))).sum() / weights.sum()
    assert predicted == pytest.approx((weights * leaves).sum() / weights.sum(), abs=0.01)


def test_the_recipe_fits_each_gate_to_its_own_aim(
    spectra: tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]],
) -> None:
    p, labels, macs = spectra
    cached = CachedLogits(np.log(p), labels, macs.astype(np.int64), STATIC_MACS)
    found = {score: Recipe("last", score).fit(cached).score_parameters for score in FITTERS}
    assert set(FITTERS) == {name for name, score in SCORES.items() if score.parameter_names}
    assert len(set(found.values())) == len(FITTERS)
    assert all(len(rows) == 3 for rows in found.values())


def test_a_combiner_can_be_asked_for(
    spectra: tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]],
) -> None:
    p, labels, macs = spectra
    cached = CachedLogits(5 + np.log(p), labels, macs.astype(np.int64), STATIC_MACS)
    assert calibrate(cached, combiner="product").policy.combiner == "product"
    with pytest.raises(ConfigurationError, match="unknown combiner 'choir'; known: auto, last"):
        calibrate(cached, combiner="choir")


def test_a_schedule_predicts_how_often_an_exit_is_right(
    spectra: tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]],
) -> None:
    p, labels, _ = spectra
    state = np.zeros((N, 1), dtype=np.float32)
    for k, (answer, row) in enumerate(zip(p, fit_schedule(p, labels), strict=True)):
        score, state = SCORES["schedule"](k, answer, state, row)
        sure, right = answer.max(axis=1) > 0.9, answer.argmax(axis=1) == labels
        for group in (sure, ~sure):
            assert score[group].mean() == pytest.approx(right[group].mean(), abs=0.03)
        np.testing.assert_array_equal(state[:, 0], score)


def test_shares_follow_the_scores() -> None:
    scores = np.array([[0.2, 0.9], [0.4, 0.9], [0.8, 0.9]], dtype=np.float32)
    np.testing.assert_allclose(scheduled_shares(scores, 0.0), [1 / 3] * 3)
    # the first spectrum by its scores, 1 : 2 : 4, the second alike everywhere
    expected = [(part / 7 + 1 / 3) / 2 for part in (1, 2, 4)]
    np.testing.assert_allclose(scheduled_shares(scores, 1.0), expected, rtol=1e-6)
    assert scheduled_shares(scores, 12.0)[2] > 0.6 > 0.4 > scheduled_shares(scores, -12.0)[2]
    assert scheduled_shares(np.zeros((3, 2), dtype=np.float32), 12.0).sum() == pytest.approx(1.0)


def test_only_the_schedule_adds_its_assignments(
    spectra: tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]],
) -> None:
    p, labels, macs = spectra
    cached = CachedLogits(np.log(p), labels, macs.astype(np.int64), STATIC_MACS)
    table = ExitTable.of(cached, Recipe("last", "schedule").fit(cached))
    families = [{one.family for one in generate_candidates(table, scheduled=on)} for on in (False, True)]
    assert families[1] - families[0] == {"scheduled"}
    assert calibrate(cached, score="schedule").policy.score == "schedule"
