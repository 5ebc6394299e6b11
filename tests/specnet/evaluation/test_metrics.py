from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score
from sklearn.metrics import confusion_matrix as sklearn_confusion

from specnet.errors import ModelError
from specnet.evaluation import (
    accuracy,
    balanced_accuracy,
    confusion_matrix,
    expected_calibration_error,
    reliability,
)

LABELS = np.array([0, 0, 0, 0, 1, 1, 3])
PREDICTED = np.array([0, 0, 0, 1, 1, 2, 3])


def test_hand_computed_accuracies() -> None:
    assert accuracy(LABELS, PREDICTED) == pytest.approx(5 / 7)
    # recalls 3/4, 1/2 and 1; class 2 does not occur
    assert balanced_accuracy(LABELS, PREDICTED, 4) == pytest.approx(0.75)


def test_hand_computed_confusion() -> None:
    expected = [[3, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 1]]
    assert confusion_matrix(LABELS, PREDICTED, 4).tolist() == expected


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=60))
def test_confusion_and_balanced_accuracy_agree_with_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    labels, predicted = np.array(pairs).T
    present = np.isin(predicted, labels)
    np.testing.assert_array_equal(
        confusion_matrix(labels, predicted, 5), sklearn_confusion(labels, predicted, labels=np.arange(5))
    )
    # scikit-learn warns of predicted classes without a label, and of one class alone
    if present.all() and len(np.unique(labels)) > 1:
        assert balanced_accuracy(labels, predicted, 5) == pytest.approx(balanced_accuracy_score(labels, predicted))


def test_hand_computed_calibration_error() -> None:
    # bins (0.5, 0.75] and (0.75, 1] of four: confidences .6 .7 (one of two right) and .8 .9 1 (two of three right)
    probabilities = np.array([[0.6, 0.4], [0.3, 0.7], [0.8, 0.2], [0.1, 0.9], [1.0, 0.0]], dtype=np.float32)
    labels = np.array([0, 0, 0, 1, 1])
    bins = reliability(probabilities, labels, n_bins=4)
    assert bins.counts.tolist() == [0, 0, 2, 3]
    np.testing.assert_allclose(bins.confidence, [np.nan, np.nan, 0.65, 0.9], rtol=1e-6)
    np.testing.assert_allclose(bins.accuracy, [np.nan, np.nan, 0.5, 2 / 3], rtol=1e-6)
    expected = 2 / 5 * 0.15 + 3 / 5 * (0.9 - 2 / 3)
    assert expected_calibration_error(probabilities, labels, n_bins=4) == pytest.approx(expected, abs=1e-6)


def test_a_confidence_on_an_edge_belongs_to_the_bin_below() -> None:
    probabilities = np.array([[0.5, 0.5], [1.0, 0.0]], dtype=np.float32)
    assert reliability(probabilities, np.array([0, 0]), n_bins=2).counts.tolist() == [1, 1]


def test_calibrated_predictions_have_little_error_and_overconfident_ones_much() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1.0, 50_000)
    probabilities = np.stack([confidence, 1 - confidence], axis=1).astype(np.float32)
    labels = (rng.random(50_000) > confidence).astype(np.int64)
    assert expected_calibration_error(probabilities, labels) < 0.01
    sure = np.tile(np.array([[0.999, 0.001]], dtype=np.float32), (50_000, 1))
    assert expected_calibration_error(sure, labels) == pytest.approx(0.999 - (labels == 0).mean(), abs=1e-4)


def test_lengths_must_agree() -> None:
    with pytest.raises(ModelError, match=r"got \(3,\) and \(2,\)"):
        confusion_matrix(np.zeros(3, dtype=int), np.zeros(2, dtype=int), 2)
    with pytest.raises(ModelError, match=r"n >= 1"):
        confusion_matrix(np.zeros(0, dtype=int), np.zeros(0, dtype=int), 2)
