"""Exit 0: linear classifiers that are scikit-learn's own, weights and all, and the choice among them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.cross_decomposition import PLSRegression
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.preprocessing import StandardScaler

from specnet.errors import DatasetError
from specnet.exits import log_softmax
from specnet.nn import LinearExit, preset
from specnet.training.linear import USUAL, LinearChoice, bin_means, choose_linear, compare_linear, write_linear_exit
from specnet.training.linear_models import (
    CANDIDATES,
    MAX_ITERATIONS,
    TOLERANCE,
    Discriminant,
    Floats,
    LinearModel,
    LinearScores,
    PartialLeastSquares,
    Ridge,
    SoftmaxRegression,
)

pytestmark = pytest.mark.usefixtures("one_thread")
POINTS = 120
SPECTRA = 120
Labels = NDArray[np.int64]
QUICK = {name: CANDIDATES[name] for name in (USUAL, "discriminant_0.1", "ridge_0.001")}


def _data(
    n_classes: int, present: list[int], seed: int = 0, noise: float = 0.5, n: int = SPECTRA
) -> tuple[NDArray[np.float32], Labels]:
    """Peaks at a place of their own for each class, on noise."""
    generator = np.random.default_rng(seed)
    labels = generator.choice(present, n)
    centres = np.linspace(12, 108, n_classes)[labels, None]
    peaks = np.exp(-0.5 * ((np.arange(POINTS) - centres) / 5) ** 2)
    return (peaks + generator.normal(0, noise, (n, POINTS)) + 3).astype(np.float32), labels.astype(np.int64)


def _better_than_chance(n_classes: int, n: int) -> float:
    """Share of right answers that blind guessing reaches once in ten thousand times."""
    return 1 / n_classes + 4 * (1 / n_classes * (1 - 1 / n_classes) / n) ** 0.5


def _exit0(n_classes: int, choice: LinearChoice, n_points: int = POINTS) -> LinearExit:
    exit0 = LinearExit(preset("nano", n_points, n_classes, linear_bin=choice.bin))
    write_linear_exit(exit0, choice.scores)
    return exit0


def _logits(exit0: LinearExit, spectra: NDArray[np.float32]) -> NDArray[np.float32]:
    with torch.no_grad():
        logits: NDArray[np.float32] = exit0(torch.from_numpy(spectra)[:, None]).numpy()
    return logits


@pytest.mark.parametrize("name", CANDIDATES)
@pytest.mark.parametrize("n_classes", [2, 4])
def test_every_candidate_tells_unseen_spectra_apart(name: str, n_classes: int) -> None:
    spectra, labels = _data(n_classes, list(range(n_classes)))
    scores = CANDIDATES[name].fit(bin_means(spectra, 1).astype(np.float64), labels)
    assert scores.weight.shape == (n_classes, POINTS)
    assert scores.bias.shape == (n_classes,)
    others, truth = _data(n_classes, list(range(n_classes)), seed=1)
    right = (scores(others.astype(np.float64)).argmax(axis=1) == truth).mean()
    # the noise is as high as half a peak, so a fit without regularisation is not much, but never chance
    assert right > _better_than_chance(n_classes, SPECTRA)


def _standardised(model: Any, features: Floats, labels: Labels) -> Any:
    scaler = StandardScaler().fit(features)
    model.fit(scaler.transform(features), labels)
    return lambda others: np.asarray(model.decision_function(scaler.transform(others)))


def _plain(model: Any, features: Floats, labels: Labels) -> Any:
    return model.fit(features, labels).decision_function


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("kind", ["softmax", "ridge"])
def test_scores_are_those_of_scikit_learn(kind: str, n_classes: int) -> None:
    spectra, labels = _data(n_classes, list(range(n_classes)))
    features = spectra.astype(np.float64)
    model: LinearModel
    if kind == "softmax":
        model = SoftmaxRegression(0.3)
        theirs = _standardised(LogisticRegression(C=0.3, max_iter=MAX_ITERATIONS, tol=TOLERANCE), features, labels)
    else:
        model = Ridge(1e-3)
        theirs = _plain(RidgeClassifier(alpha=1e-3 * features.var(axis=0).mean() * SPECTRA), features, labels)
    others = _data(n_classes, list(range(n_classes)), seed=1)[0].astype(np.float64)
    ours, expected = model.fit(features, labels)(others), theirs(others)
    if n_classes == 2:  # a single column there, the difference of two here
        ours = ours[:, 1] - ours[:, 0]
    np.testing.assert_allclose(ours, expected, atol=1e-8)


@pytest.mark.parametrize("shrinkage", [0.1, 0.01])
@pytest.mark.parametrize("n_classes", [2, 4])
def test_the_discriminant_is_scikit_learn_s(shrinkage: float, n_classes: int) -> None:
    spectra, labels = _data(n_classes, list(range(n_classes)))
    features = spectra.astype(np.float64)
    others = _data(n_classes, list(range(n_classes)), seed=1)[0].astype(np.float64)
    ours = Discriminant(shrinkage).fit(features, labels)(others)
    # it shrinks each class and then pools, which is the same as pooling first
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage)
    expected = _standardised(model, features, labels)(others)
    if n_classes == 2:
        ours = ours[:, 1] - ours[:, 0]
    np.testing.assert_allclose(ours, expected, atol=1e-6)


@pytest.mark.parametrize("components", [1, 5, 20])
@pytest.mark.parametrize("n_classes", [2, 4])
def test_partial_least_squares_are_scikit_learn_s(components: int, n_classes: int) -> None:
    spectra, labels = _data(n_classes, list(range(n_classes)))
    features = spectra.astype(np.float64)
    others = _data(n_classes, list(range(n_classes)), seed=1)[0].astype(np.float64)
    model = PLSRegression(components, scale=False, max_iter=5000, tol=1e-14)
    expected = model.fit(features, np.eye(n_classes)[labels]).predict(others)
    np.testing.assert_allclose(PartialLeastSquares(components).fit(features, labels)(others), expected, atol=1e-6)


def test_partial_least_squares_end_where_nothing_is_left() -> None:
    """Two directions carry everything; asking for more changes nothing."""
    generator = np.random.default_rng(0)
    labels = np.arange(60) % 3
    features = np.eye(3)[labels] @ generator.standard_normal((3, POINTS))
    two, many = (PartialLeastSquares(n).fit(features, labels) for n in (2, 40))
    np.testing.assert_allclose(many.weight, two.weight, atol=1e-9)
    np.testing.assert_allclose(many(features), np.eye(3)[labels], atol=1e-9)


@pytest.mark.parametrize("name", CANDIDATES)
def test_the_exit_answers_what_the_fit_does_and_never_a_class_without_spectra(name: str) -> None:
    spectra, labels = _data(5, [0, 2, 3])
    choice = choose_linear(spectra, labels, None, 5, bin_points=2, seed=0, candidates={name: CANDIDATES[name]})
    assert choice.name == name
    assert choice.bin == (1 if CANDIDATES[name].full_resolution else 2)
    others, _ = _data(5, [0, 2, 3], seed=1)
    logits = _logits(_exit0(5, choice), others)
    expected = choice.scores(bin_means(others, choice.bin).astype(np.float64))
    np.testing.assert_allclose(logits[:, [0, 2, 3]], expected, atol=1e-3 * max(1.0, float(np.abs(expected).max())))
    assert set(logits.argmax(axis=1)) == {0, 2, 3}
    assert set(choice.out_of_fold.argmax(axis=1)) <= {0, 2, 3}


def test_the_candidate_that_sees_what_matters_is_chosen_and_all_are_told() -> None:
    """Classes that differ between neighbouring points, which means over bins take away."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, SPECTRA)
    fine = np.where(np.arange(POINTS) % 2 == 0, 1.0, -1.0) * (2 * labels[:, None] - 1)
    spectra = (fine + generator.normal(0, 1, (SPECTRA, POINTS))).astype(np.float32)
    choice = choose_linear(spectra, labels, None, 2, bin_points=2, seed=0, candidates=QUICK)
    assert set(choice.tried) == set(QUICK)
    assert choice.tried[USUAL] < _better_than_chance(2, SPECTRA)
    assert choice.tried[choice.name] == max(choice.tried.values()) > 0.95
    assert CANDIDATES[choice.name].full_resolution
    assert choice.accuracy == (choice.out_of_fold.argmax(axis=1) == labels).mean()


def test_the_likelihood_decides_between_candidates_of_one_accuracy() -> None:
    spectra, labels = _data(2, [0, 1], noise=0.1)
    found = compare_linear(spectra, labels, None, 2, bin_points=1, seed=0, candidates=QUICK)
    assert {accuracy for accuracy, _ in found.values()} == {1.0}
    choice = choose_linear(spectra, labels, None, 2, bin_points=1, seed=0, candidates=QUICK)
    assert found[choice.name][1] == max(likelihood for _, likelihood in found.values())


def test_the_same_seed_gives_the_same_choice() -> None:
    spectra, labels = _data(4, [0, 1, 2, 3])
    one, two = (choose_linear(spectra, labels, None, 4, bin_points=2, seed=5, candidates=QUICK) for _ in range(2))
    assert one.tried == two.tried
    np.testing.assert_array_equal(one.scores.weight, two.scores.weight)
    np.testing.assert_array_equal(one.out_of_fold, two.out_of_fold)


@pytest.mark.parametrize("name", ["softmax_3", "discriminant_1e-05", "ridge_1e-06"])
def test_what_is_learnt_by_heart_does_not_show_out_of_fold(name: str) -> None:
    """More points than spectra and labels that mean nothing: perfect on what was seen, chance on what was not."""
    generator = np.random.default_rng(0)
    spectra, labels = generator.normal(size=(200, 400)).astype(np.float32), generator.integers(0, 4, 200)
    choice = choose_linear(spectra, labels, None, 4, bin_points=1, seed=0, candidates={name: CANDIDATES[name]})
    assert (_logits(_exit0(4, choice, 400), spectra).argmax(axis=1) == labels).mean() == 1.0
    assert (choice.out_of_fold.argmax(axis=1) == labels).mean() == choice.accuracy
    assert choice.accuracy < _better_than_chance(4, 200)
    # and the temperature says how little it knows: not much worse than to say nothing
    likelihood = -log_softmax(choice.out_of_fold)[np.arange(200), labels].mean()
    assert likelihood < np.log(4) + 0.05


@dataclass
class _Watching:
    """A real model that remembers which groups it was fitted on and which it judged; point 0 tells the group."""

    full_resolution: bool = True
    fitted: list[set[int]] = field(default_factory=list)
    judged: list[set[int]] = field(default_factory=list)

    def fit(self, features: Floats, labels: Labels) -> LinearScores:
        self.fitted.append(_groups(features))
        watching, scores = self, Ridge(1e-3).fit(features, labels)

        class Watched(LinearScores):
            def __call__(self, features: Floats) -> Floats:
                watching.judged.append(_groups(features))
                return super().__call__(features)

        return Watched(scores.weight, scores.bias, scores.classes)


def _groups(features: Floats) -> set[int]:
    return set(np.rint(features[:, 0] / 100).astype(int).tolist())


def test_groups_are_never_on_both_sides() -> None:
    spectra, labels = _data(2, [0, 1])
    groups = np.arange(SPECTRA) // 10
    spectra[:, 0] = groups * 100.0
    watching = _Watching()
    compare_linear(spectra, labels, groups, 2, bin_points=1, seed=0, candidates={"watching": watching})
    assert len(watching.fitted) == len(watching.judged) == 4
    for fitted, judged in zip(watching.fitted, watching.judged, strict=True):
        assert fitted
        assert judged
        assert not fitted & judged
    assert sorted(group for judged in watching.judged for group in judged) == list(range(12))


@pytest.mark.parametrize("name", ["softmax_3", "discriminant_1e-05", "ridge_0.01"])
def test_scores_become_probabilities_with_a_temperature(name: str) -> None:
    """Targets of -1 and 1 make no probabilities, nor does a covariance that was hardly regularised."""
    spectra, labels = _data(3, [0, 1, 2], noise=0.9, n=480)
    choice = choose_linear(spectra, labels, None, 3, bin_points=1, seed=0, candidates={name: CANDIDATES[name]})
    others, truth = _data(3, [0, 1, 2], seed=1, noise=0.9, n=2000)
    says = log_softmax(choice.scores(others.astype(np.float64)))
    confidence, right = np.exp(says.max(axis=1)), says.argmax(axis=1) == truth
    assert confidence.mean() == pytest.approx(right.mean(), abs=0.05)
    sure = confidence > np.median(confidence)
    assert confidence[sure].mean() == pytest.approx(right[sure].mean(), abs=0.05)


@pytest.mark.parametrize("groups", [None, np.array([0, 0, 1, 1])])
def test_too_few_spectra_for_a_choice_get_the_usual_model(groups: Labels | None) -> None:
    spectra, _ = _data(2, [0, 1])
    labels = np.array([0, 0, 1, 1])
    choice = choose_linear(spectra[:4], labels, groups, 2, bin_points=2, seed=0)
    assert (choice.name, choice.tried) == (USUAL, {})
    logits = _logits(_exit0(2, choice), spectra[:4])
    assert (logits.argmax(axis=1) == labels).all()
    np.testing.assert_allclose(choice.out_of_fold, logits, atol=1e-4)  # nothing to divide: what there is


def test_one_class_is_nothing_to_tell_apart() -> None:
    spectra, labels = _data(3, [1])
    with pytest.raises(DatasetError, match="all 120 training spectra are of one class"):
        choose_linear(spectra, labels, None, 3, bin_points=1, seed=0)


def test_a_single_spectrum_of_a_class_does_not_stop_the_choice() -> None:
    spectra, labels = _data(3, [0, 1], noise=0.2)
    labels[0] = 2
    groups = np.arange(len(labels)) // 2
    choice = choose_linear(spectra, labels, groups, 3, bin_points=1, seed=0, candidates=QUICK)
    assert np.isfinite(choice.out_of_fold).all()
    assert (_logits(_exit0(3, choice), spectra).argmax(axis=1) == labels).mean() > 0.9


def test_points_beyond_the_last_full_bin_are_left_out() -> None:
    spectra = np.arange(14, dtype=np.float32).reshape(2, 7)
    np.testing.assert_array_equal(bin_means(spectra, 3), [[1, 4], [8, 11]])
