"""How good predictions are. Legend: n spectra, C classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specnet.errors import ModelError

N_BINS = 15

Labels = NDArray[np.integer[Any]]


def confusion_matrix(labels: Labels, predicted: Labels, n_classes: int) -> NDArray[np.int64]:
    """Count ``(C, C)``: true class down, predicted class across; `ModelError` when lengths differ or are 0."""
    if labels.shape != predicted.shape or labels.ndim != 1 or not labels.size:
        raise ModelError(f"labels and predictions are (n >= 1,), got {labels.shape} and {predicted.shape}")
    flat = np.bincount(labels * n_classes + predicted, minlength=n_classes * n_classes)
    return flat.reshape(n_classes, n_classes)


def accuracy(labels: Labels, predicted: Labels) -> float:
    """Share of spectra whose predicted class is the true one."""
    return float((labels == predicted).mean())


def balanced_accuracy(labels: Labels, predicted: Labels, n_classes: int) -> float:
    """Mean recall over the classes that occur among the labels."""
    matrix = confusion_matrix(labels, predicted, n_classes)
    count = matrix.sum(axis=1)
    present = count > 0
    return float((matrix.diagonal()[present] / count[present]).mean())


@dataclass(frozen=True)
class Reliability:
    """Confidence against accuracy in bins of equal width over 0..1.

    Counts, mean confidence and accuracy, each ``(bins,)``; the two means are NaN in an empty bin.
    """

    edges: NDArray[np.float64]
    counts: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]

    @property
    def ece(self) -> float:
        """Expected calibration error: mean gap between confidence and accuracy, bins weighted by their counts."""
        filled = self.counts > 0
        gaps = np.abs(self.confidence[filled] - self.accuracy[filled])
        return float((self.counts[filled] * gaps).sum() / self.counts.sum())


def reliability(probabilities: NDArray[np.float32], labels: Labels, n_bins: int = N_BINS) -> Reliability:
    """Bin the confidence of probabilities ``(n, C)``.

    Bins are of equal width, as in Guo et al. 2017 (eq. 3; 15 bins), so that numbers compare with published ones. A
    confidence on an edge belongs to the bin below it.
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == labels
    edges = np.linspace(0.0, 1.0, n_bins + 1)
    index = np.clip(np.ceil(confidence * n_bins).astype(np.int64) - 1, 0, n_bins - 1)
    counts = np.bincount(index, minlength=n_bins)
    divisor = np.where(counts > 0, counts, np.nan)
    return Reliability(
        edges,
        counts,
        np.bincount(index, weights=confidence, minlength=n_bins) / divisor,
        np.bincount(index, weights=right, minlength=n_bins) / divisor,
    )


def expected_calibration_error(probabilities: NDArray[np.float32], labels: Labels, n_bins: int = N_BINS) -> float:
    """Measure `Reliability.ece` of probabilities ``(n, C)`` (Guo et al. 2017, eq. 3)."""
    return reliability(probabilities, labels, n_bins).ece
