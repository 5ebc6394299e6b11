"""The estimator on spectra: what it learns, how it decides, and what it hands on."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler

from specnet import SpecNetClassifier, load_bundle, read_spectra
from specnet.datasets import Holdout
from specnet.errors import ConfigurationError, DatasetError, ModelError, SpectrumError
from specnet.estimator import _split

pytestmark = pytest.mark.usefixtures("one_thread")


class Minerals:
    """Spectra and the names of their minerals, for fitting and for testing."""

    def __init__(self, path: Path) -> None:
        table = read_spectra(path)
        assert table.labels is not None
        names = np.array(table.class_names)[table.labels]
        test = table.holdout == Holdout.TEST
        self.axis = table.axis
        self.X, self.y = table.intensity[~test], names[~test]
        self.X_test, self.y_test = table.intensity[test], names[test]


@pytest.fixture(scope="module")
def minerals(spectra_file: Path) -> Minerals:
    return Minerals(spectra_file)


def _classifier(**changes: Any) -> SpecNetClassifier:
    return SpecNetClassifier(
        **{"preset": "nano", "epochs": 4, "batch_size": 16, "augmentation": "light", "random_state": 3, **changes}
    )


@pytest.fixture(scope="module")
def fitted(minerals: Minerals) -> SpecNetClassifier:
    return _classifier(axis=minerals.axis).fit(minerals.X, minerals.y)


def test_it_learns_minerals_and_answers_with_their_names(fitted: SpecNetClassifier, minerals: Minerals) -> None:
    assert fitted.score(minerals.X_test, minerals.y_test) > 0.9
    assert set(fitted.predict(minerals.X_test)) <= set(minerals.y)


def test_exits_and_cost_are_those_of_the_operating_point(fitted: SpecNetClassifier, minerals: Minerals) -> None:
    exits, macs = fitted.predict_exits(minerals.X_test)
    network = fitted.run_.network
    assert exits.min() >= 0
    assert exits.max() < network.n_exits
    assert macs.shape == exits.shape
    assert (macs[exits == 0] == network.exit0.macs).all()
    assert macs.max() <= network.static_macs()


def test_the_bundle_answers_as_the_estimator_does(
    fitted: SpecNetClassifier, minerals: Minerals, tmp_path: Path
) -> None:
    predictor = load_bundle(fitted.save_bundle(tmp_path / "minerals.specnet", name="minerals"))
    prediction = predictor.predict(minerals.X_test, minerals.axis)
    assert list(prediction.names) == list(fitted.predict(minerals.X_test))
    np.testing.assert_allclose(prediction.probabilities, fitted.predict_proba(minerals.X_test), atol=1e-4)
    np.testing.assert_array_equal(prediction.exit_index, fitted.predict_exits(minerals.X_test)[0])


def test_a_budget_is_kept(minerals: Minerals) -> None:
    budgeted = _classifier(axis=minerals.axis, epochs=2, budget=0.3).fit(minerals.X, minerals.y)
    assert budgeted.calibration_ is not None
    assert budgeted.calibration_.mean_macs <= 0.3 * budgeted.run_.network.static_macs()


def test_it_searches_a_grid_in_a_pipeline(minerals: Minerals) -> None:
    pipeline = make_pipeline(MaxAbsScaler(), _classifier(epochs=1, augmentation="none"))
    search = GridSearchCV(pipeline, {"specnetclassifier__learning_rate": [1e-3, 3e-3]}, cv=2)
    search.fit(minerals.X[::2], minerals.y[::2])
    assert search.best_score_ > 0.5
    assert len(search.predict(minerals.X_test)) == len(minerals.y_test)


def test_an_axis_may_be_an_array_and_is_cloned(minerals: Minerals) -> None:
    estimator = clone(_classifier(axis=minerals.axis.values, quantity="raman_shift", preprocessing="snv"))
    assert estimator._axis(len(minerals.axis.values)) == minerals.axis


def test_without_an_axis_intensities_may_be_in_any_unit(minerals: Minerals) -> None:
    counts = _classifier(epochs=2).fit(minerals.X, minerals.y)
    kilo_counts = _classifier(epochs=2).fit(minerals.X / 1024, minerals.y)
    np.testing.assert_allclose(
        counts.predict_proba(minerals.X_test), kilo_counts.predict_proba(minerals.X_test / 1024), atol=1e-3
    )


def test_the_same_seed_is_the_same_classifier_and_nothing_outside_changes(minerals: Minerals) -> None:
    deterministic = torch.are_deterministic_algorithms_enabled()
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    first, again, other = (_classifier(epochs=1, random_state=seed).fit(minerals.X, minerals.y) for seed in (5, 5, 6))
    assert torch.equal(torch.rand(3), expected)
    assert torch.are_deterministic_algorithms_enabled() == deterministic
    np.testing.assert_array_equal(first.predict_proba(minerals.X_test), again.predict_proba(minerals.X_test))
    assert not torch.equal(first.run_.network.stem.weight, other.run_.network.stem.weight)


def test_a_fitted_classifier_survives_pickle(fitted: SpecNetClassifier, minerals: Minerals) -> None:
    copy = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(copy.predict_proba(minerals.X_test), fitted.predict_proba(minerals.X_test))


def test_very_few_spectra_are_trained_on_but_not_calibrated(minerals: Minerals, tmp_path: Path) -> None:
    rows = np.concatenate([np.flatnonzero(minerals.y == name)[:2] for name in np.unique(minerals.y)])
    few = _classifier(epochs=1).fit(minerals.X[rows], minerals.y[rows])
    assert few.calibration_ is None
    assert (few.predict_exits(minerals.X_test)[0] == few.run_.network.n_exits - 1).all()
    with pytest.raises(ConfigurationError, match="a bundle needs a calibrated network"):
        few.save_bundle(tmp_path / "few.specnet")


@pytest.mark.parametrize("n_features", [2, 3, 7])
def test_spectra_of_a_few_points_are_classified(n_features: int) -> None:
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 40)
    X = rng.normal(size=(80, n_features)) + 4 * y[:, None]
    assert _classifier(epochs=2).fit(X, y).score(X, y) > 0.95


def _labels_and_groups() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    groups = np.repeat(np.arange(30), 5)
    return groups % 3, groups


def test_no_group_is_on_both_sides() -> None:
    labels, groups = _labels_and_groups()
    training, held = _split(labels, groups, 0.2, seed=0)
    assert len(training) + len(held) == len(labels)
    assert 0.1 < len(held) / len(labels) < 0.3
    assert not set(groups[training]) & set(groups[held])
    assert set(labels[training]) == {0, 1, 2}


def test_a_class_of_one_group_is_never_all_held_out() -> None:
    labels, groups = _labels_and_groups()
    labels = np.where(groups == 7, 3, labels)
    training, _ = _split(labels, groups, 0.5, seed=0)
    assert set(labels[training]) == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"preset": "giant"}, ModelError, "unknown preset 'giant'"),
        ({"preprocessing": "wash"}, ConfigurationError, "unknown preprocessing 'wash'"),
        ({"calibration_share": 0.9}, ConfigurationError, "calibration_share is from 0.1 to 0.5, got 0.9"),
        ({"axis": np.arange(7.0)}, SpectrumError, "7"),
    ],
)
def test_mistakes_are_told(minerals: Minerals, changes: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        _classifier(**changes).fit(minerals.X, minerals.y)


def test_groups_have_one_entry_a_spectrum(minerals: Minerals) -> None:
    with pytest.raises(DatasetError, match=r"groups has shape \(3,\), expected \(\d+,\)"):
        _classifier().fit(minerals.X, minerals.y, groups=[1, 2, 3])
