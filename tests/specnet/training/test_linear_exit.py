"""Exit 0 is scikit-learn's softmax regression on binned spectra, weights and all."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from specnet.errors import DatasetError
from specnet.nn import LinearExit, preset
from specnet.training import linear
from specnet.training.linear import INVERSE_PENALTIES, MAX_ITERATIONS, USUAL_PENALTY, fit_linear_exit

pytestmark = pytest.mark.usefixtures("one_thread")
POINTS = 500


def _data(n_classes: int, present: list[int], seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    generator = np.random.default_rng(seed)
    labels = generator.choice(present, 120)
    centres = np.linspace(50, 450, n_classes)[labels, None]
    peaks = np.exp(-0.5 * ((np.arange(POINTS) - centres) / 20) ** 2)
    return (peaks + generator.normal(0, 0.7, (120, POINTS)) + 3).astype(np.float32), labels.astype(np.int64)


def _probabilities(exit0: LinearExit, spectra: NDArray[np.float32]) -> NDArray[np.float32]:
    with torch.no_grad():
        probabilities: NDArray[np.float32] = exit0(torch.from_numpy(spectra)[:, None]).softmax(dim=1).numpy()
    return probabilities


@pytest.mark.parametrize(
    ("n_classes", "present"),
    [(4, [0, 1, 2, 3]), (2, [0, 1]), (5, [0, 2, 3]), (3, [0, 2])],
    ids=["four classes", "two classes", "classes without spectra", "two of three classes"],
)
def test_predictions_are_those_of_scikit_learn(n_classes: int, present: list[int]) -> None:
    spectra, labels = _data(n_classes, present)
    exit0 = LinearExit(preset("nano", POINTS, n_classes))
    penalty = fit_linear_exit(exit0, spectra, labels, None, seed=0)
    assert penalty in INVERSE_PENALTIES
    features = spectra.reshape(len(spectra), -1, exit0.bin).mean(axis=2).astype(np.float64)
    assert (exit0.bin, features.shape[1]) == (2, 250)
    scaler = StandardScaler().fit(features)
    model = LogisticRegression(C=penalty, max_iter=MAX_ITERATIONS).fit(scaler.transform(features), labels)
    others, _ = _data(n_classes, present, seed=1)
    expected = np.zeros((len(others), n_classes))
    raw = others.reshape(len(others), -1, exit0.bin).mean(axis=2)
    expected[:, model.classes_] = model.predict_proba(scaler.transform(raw))
    np.testing.assert_allclose(_probabilities(exit0, others), expected, atol=2e-4)
    assert len(np.unique(expected.argmax(axis=1))) == len(present)


def test_the_same_seed_gives_the_same_fit() -> None:
    spectra, labels = _data(4, [0, 1, 2, 3])
    exits = [LinearExit(preset("nano", POINTS, 4)) for _ in range(2)]
    for exit0 in exits:
        fit_linear_exit(exit0, spectra, labels, None, seed=5)
    assert torch.equal(exits[0].weight, exits[1].weight)
    assert torch.equal(exits[0].bias, exits[1].bias)


def test_groups_stay_together_when_the_penalty_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    spectra, labels = _data(2, [0, 1])
    groups = np.arange(120) // 10
    spectra[:, 0] = groups * 100.0  # the first bin tells the group of every row that is fitted
    seen = []
    original = linear._fit

    def fit(features: NDArray[np.float64], labels: NDArray[np.int64], penalty: float) -> object:
        seen.append(np.rint(features[:, 0] / 50).astype(int))
        return original(features, labels, penalty)

    monkeypatch.setattr(linear, "_fit", fit)
    fit_linear_exit(LinearExit(preset("nano", POINTS, 2)), spectra, labels, groups, seed=0)
    *choosing, last = seen
    assert len(choosing) == len(INVERSE_PENALTIES)
    assert len(last) == 120
    for fitted in choosing:
        assert 0 < len(fitted) < 120
        assert set(np.unique(fitted, return_counts=True)[1]) == {10}  # whole groups only


@pytest.mark.parametrize("groups", [None, np.array([0, 0, 1, 1])])
def test_too_few_spectra_for_a_choice_are_fitted_with_the_usual_penalty(groups: NDArray[np.int64] | None) -> None:
    spectra, _ = _data(2, [0, 1])
    labels = np.array([0, 0, 1, 1])
    exit0 = LinearExit(preset("nano", POINTS, 2))
    assert fit_linear_exit(exit0, spectra[:4], labels, groups, seed=0) == USUAL_PENALTY
    assert (_probabilities(exit0, spectra[:4]).argmax(axis=1) == labels).all()


def test_one_class_is_nothing_to_tell_apart() -> None:
    spectra, labels = _data(3, [1])
    with pytest.raises(DatasetError, match="all 120 training spectra are of one class"):
        fit_linear_exit(LinearExit(preset("nano", POINTS, 3)), spectra, labels, None, seed=0)


def test_a_single_spectrum_of_a_class_does_not_stop_the_fit() -> None:
    spectra, labels = _data(3, [0, 1])
    labels[0] = 2
    exit0 = LinearExit(preset("nano", POINTS, 3))
    fit_linear_exit(exit0, spectra, labels, np.arange(len(labels)) // 2, seed=0)
    assert torch.isfinite(exit0.weight).all()
    assert (_probabilities(exit0, spectra).argmax(axis=1) == labels).mean() > 0.9
