"""A linear classifier on points or bins, which most of chemometrics ends in, and its ONNX graph.

Legend: n spectra, L points, F features (points, or means over bins), C classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from specnet.baselines.classifier import NEVER, Spectra, TrainingSpectra
from specnet.baselines.timing import onnx_call
from specnet.export.graph import GraphBuilder

ENOUGH_BINS = 512
FEWEST_BINS = 32


@dataclass(frozen=True)
class LinearClassifier:
    """Scores ``bins(x) @ weight + bias``.

    One MAC a weight, F C in all, and one addition a point for the means over bins when there are bins.

    Parameters
    ----------
    weight
        ``(F, C)``.
    bias
        ``(C,)``.
    n_points
        L.
    bin
        Points that are averaged to a feature; points beyond the last full bin are left out.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    n_points: int
    bin: int = 1
    runtime: str = "ONNX Runtime"

    @property
    def macs(self) -> int:
        """One MAC a weight, and the additions of the means."""
        return int(self.weight.size) + (len(self.weight) * self.bin if self.bin > 1 else 0)

    def scores(self, spectra: Spectra) -> NDArray[np.floating[Any]]:
        """Scores ``(n, C)``."""
        return np.asarray(bin_means(spectra, self.bin) @ self.weight + self.bias)

    def onnx(self) -> bytes:
        """Write the graph from ``features (n, L, 1)`` to ``scores (n, C)``."""
        graph = GraphBuilder("linear")
        if self.bin == 1:
            x = graph.reshape("features", [0, self.n_points])
        else:
            rows = graph.reshape("features", [0, 1, self.n_points])
            means = graph.node("AveragePool", rows, kernel_shape=[self.bin], strides=[self.bin])
            x = graph.node("Flatten", means)
        graph.node("Gemm", x, graph.constant(self.weight), graph.constant(self.bias), output="scores")
        return graph.build((self.n_points, 1), {"scores": (TensorProto.FLOAT, [len(self.bias)])})

    def single(self) -> Callable[[Spectra], Any]:
        """Run the ONNX graph."""
        return onnx_call(self.onnx())


def bin_means(spectra: NDArray[np.floating[Any]], width: int) -> NDArray[np.floating[Any]]:
    """Means ``(n, L // width)`` over consecutive points."""
    if width == 1:
        return spectra
    n_bins = spectra.shape[1] // width
    means: NDArray[np.floating[Any]] = spectra[:, : n_bins * width].reshape(len(spectra), n_bins, width).mean(axis=2)
    return means


def bin_widths(n_points: int) -> list[int]:
    """Bin widths worth trying, widest first: two that leave a number of bins that a covariance can be made of."""
    widths = [w for w in (16, 8, 4, 2, 1) if FEWEST_BINS <= n_points // w <= ENOUGH_BINS]
    return widths[-2:] or [1 if n_points < FEWEST_BINS else -(-n_points // ENOUGH_BINS)]


def standardisation(features: NDArray[np.floating[Any]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation ``(F,)`` of each feature; a constant one is divided by 1."""
    scale = features.std(axis=0, dtype=np.float64)
    return features.mean(axis=0, dtype=np.float64), np.where(scale > 0, scale, 1.0)


def linear_classifier(
    data: TrainingSpectra,
    coefficients: NDArray[np.floating[Any]],
    intercepts: NDArray[np.floating[Any]],
    *,
    mean: NDArray[np.float64] | float = 0.0,
    scale: NDArray[np.float64] | float = 1.0,
    bin: int = 1,
) -> LinearClassifier:
    """Make the classifier on raw features from coefficients ``(F, classes present)`` for ``(x - mean) / scale``."""
    folded = coefficients / np.reshape(scale, (-1, 1))
    n_features = len(coefficients)
    weight = np.zeros((n_features, data.n_classes), np.float32)
    bias = np.full(data.n_classes, NEVER, np.float32)
    weight[:, data.present] = folded
    bias[data.present] = intercepts - np.broadcast_to(mean, n_features) @ folded
    return LinearClassifier(weight, bias, data.n_points, bin)


def two_columns(
    coefficients: NDArray[np.floating[Any]], intercepts: NDArray[np.floating[Any]]
) -> tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]]:
    """Coefficients ``(F, C)`` from scikit-learn's ``(C, F)``, which has a single row for two classes."""
    if len(coefficients) == 1:
        return np.vstack([-coefficients, coefficients]).T / 2, np.r_[-intercepts, intercepts] / 2
    return coefficients.T, intercepts
