"""Linear classifiers that exit 0 may be: what a chemometrician would try first, each as weights on binned points.

Which of them is best differs by ten points from one set of spectra to another (softmax regression on minerals,
discriminant analysis on plastics, ridge on grain), so the choice is part of the default recipe.

Legend: n spectra, F features, C classes.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.preprocessing import StandardScaler

Floats = NDArray[np.float64]
MAX_ITERATIONS = 200
TOLERANCE = 1e-3


@dataclass(frozen=True)
class LinearScores:
    """Scores ``x @ weight.T + bias`` of the classes in `classes`: weight ``(C, F)``, bias ``(C,)``."""

    weight: Floats
    bias: Floats
    classes: NDArray[np.int64]

    def __call__(self, features: Floats) -> Floats:
        """Scores ``(n, C)`` of features ``(n, F)``."""
        scores: Floats = features @ self.weight.T + self.bias
        return scores

    def scaled(self, factor: float) -> LinearScores:
        """All scores multiplied by a factor: the inverse of a temperature."""
        return LinearScores(self.weight * factor, self.bias * factor, self.classes)


class LinearModel(Protocol):
    """One kind of linear classifier with its regularisation."""

    @property
    def full_resolution(self) -> bool:
        """Whether it looks at every point of the spectrum; otherwise at means over a few."""

    def fit(self, features: Floats, labels: NDArray[np.int64]) -> LinearScores:
        """Fit on features ``(n, F)`` and labels ``(n,)`` of at least two classes."""


@dataclass(frozen=True)
class SoftmaxRegression:
    """Multinomial logistic regression on standardised features, with inverse penalty `c`."""

    c: float
    full_resolution: bool = False

    def fit(self, features: Floats, labels: NDArray[np.int64]) -> LinearScores:
        """L-BFGS of scikit-learn."""
        model = LogisticRegression(C=self.c, max_iter=MAX_ITERATIONS, tol=TOLERANCE)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the last digits of a regularised fit do not matter
            return _fit_standardised(model, features, labels)


@dataclass(frozen=True)
class Discriminant:
    r"""Linear discriminant analysis whose within-class covariance is shrunk towards a sphere by `shrinkage`.

    .. math:: w_c = \hat\Sigma^{-1} \mu_c, \quad
        \hat\Sigma = (1 - s) \Sigma + s \frac{\mathrm{tr}\,\Sigma}{F} I

    Fisher's discriminant weighs fine differences of neighbouring points, which means over bins would destroy. Solved
    by Cholesky: scikit-learn's least-squares solver takes half a minute at 1,700 points, this a tenth of a second.
    """

    shrinkage: float
    full_resolution: bool = True

    def fit(self, features: Floats, labels: NDArray[np.int64]) -> LinearScores:
        """Solve in closed form, on standardised features."""
        scaler = StandardScaler().fit(features)
        standard = scaler.transform(features)
        classes, index, counts = np.unique(labels, return_inverse=True, return_counts=True)
        means = np.stack([standard[index == c].mean(axis=0) for c in range(len(classes))])
        within = standard - means[index]
        covariance = (1.0 - self.shrinkage) * (within.T @ within) / len(labels)
        sphere = self.shrinkage * max(float((within**2).mean()), 1e-12)
        covariance[np.diag_indices_from(covariance)] += sphere + 1e-12
        weight = cho_solve(cho_factor(covariance), means.T).T
        bias = np.log(counts / len(labels)) - 0.5 * (weight * means).sum(axis=1)
        weight = weight / scaler.scale_
        return _symmetric(weight, bias - weight @ scaler.mean_, classes)


@dataclass(frozen=True)
class Ridge:
    """Ridge regression on one column a class (targets -1 and 1), penalty `alpha` over the features' mean variance.

    Features are only centred: standardising every point would blow up those without signal.
    """

    alpha: float
    full_resolution: bool = True

    def fit(self, features: Floats, labels: NDArray[np.int64]) -> LinearScores:
        """Use the closed form of scikit-learn."""
        scale = max(float(features.var(axis=0).mean()), 1e-30) * len(features)
        model = RidgeClassifier(alpha=self.alpha * scale).fit(features, labels)
        return _symmetric(model.coef_, model.intercept_, model.classes_)


@dataclass(frozen=True)
class PartialLeastSquares:
    r"""Partial least squares regression on one column a class (PLS-DA) with so many `components`.

    For every component the direction r of greatest covariance with the targets, orthogonal in X to those before:

    .. math:: w = \arg\max_{|w|=1} |S^T w|, \quad t^2 = r^T X^T X r, \quad p = X^T X r / t^2, \quad q = S^T r / t^2,
        \quad S \leftarrow S - t^2 p q^T, \quad S_0 = X^T Y

    Second algorithm of Dayal and MacGregor (1997, J. Chemometrics 11, 73): after two products nothing is as large as
    the number of spectra. With 9,070 spectra of 1,000 points, 216 classes and 40 components it took 1.2 s where
    scikit-learn's iterations took 184.
    """

    components: int
    full_resolution: bool = True

    def fit(self, features: Floats, labels: NDArray[np.int64]) -> LinearScores:
        """Fit on centred features."""
        classes = np.unique(labels)
        indicator = (labels[:, None] == classes).astype(np.float64)
        shares, mean = indicator.mean(axis=0), features.mean(axis=0)
        centred = features - mean
        inner, covariance = centred.T @ centred, centred.T @ (indicator - shares)
        least = 1e-12 * float(np.trace(inner))
        rotations: list[Floats] = []
        loadings: list[Floats] = []
        weight = np.zeros((len(classes), features.shape[1]))
        for _ in range(min(self.components, len(features) - 1, features.shape[1])):
            _, axes = np.linalg.eigh(covariance.T @ covariance)
            rotation = covariance @ axes[:, -1]
            rotation /= max(float(np.linalg.norm(rotation)), 1e-300)
            for earlier, loading in zip(rotations, loadings, strict=True):
                rotation = rotation - (loading @ rotation) * earlier
            image = inner @ rotation
            squared = float(rotation @ image)
            if squared <= least:  # nothing is left to explain
                break
            slope = covariance.T @ rotation / squared
            covariance = covariance - np.outer(image, slope)
            rotations.append(rotation)
            loadings.append(image / squared)
            weight += np.outer(slope, rotation)
        return LinearScores(weight, shares - weight @ mean, classes)


CANDIDATES: dict[str, LinearModel] = {
    **{f"softmax_{c:g}": SoftmaxRegression(c) for c in (0.03, 0.3, 3.0)},
    **{f"discriminant_{s:g}": Discriminant(s) for s in (0.1, 0.01, 1e-3, 1e-5)},
    **{f"ridge_{a:g}": Ridge(a) for a in (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)},
    **{f"pls_{n}": PartialLeastSquares(n) for n in (10, 20, 40)},
}
"""What is tried for exit 0, by name."""
COMPARED = {name: CANDIDATES[name] for name in ("softmax_0.3", "discriminant_0.01", "ridge_0.0001")}
"""One of each kind with a usual penalty: enough to tell one preprocessing from another."""


def _fit_standardised(model: object, features: Floats, labels: NDArray[np.int64]) -> LinearScores:
    scaler = StandardScaler().fit(features)
    model.fit(scaler.transform(features), labels)  # type: ignore[attr-defined]
    coefficients = np.asarray(model.coef_) / scaler.scale_  # type: ignore[attr-defined]
    intercepts = np.asarray(model.intercept_) - coefficients @ scaler.mean_  # type: ignore[attr-defined]
    return _symmetric(coefficients, intercepts, model.classes_)  # type: ignore[attr-defined]


def _symmetric(coefficients: Floats, intercepts: Floats, classes: NDArray[np.int64]) -> LinearScores:
    """One row a class: for two classes scikit-learn has a single one, and symmetric scores give the same answers."""
    coefficients, intercepts = np.atleast_2d(coefficients), np.atleast_1d(intercepts)
    if len(classes) == 2 and len(coefficients) == 1:
        coefficients, intercepts = np.vstack([-coefficients, coefficients]) / 2, np.r_[-intercepts, intercepts] / 2
    return LinearScores(coefficients, intercepts, np.asarray(classes, dtype=np.int64))
