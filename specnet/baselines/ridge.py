"""Ridge classification: linear regression on the labels with a quadratic penalty, the whole path of penalties at once.

scikit-learn's ``RidgeClassifierCV`` chooses the penalty by leaving out one spectrum at a time, which is too weak a
penalty where a sample was measured several times. Here all penalties are solved from one eigendecomposition (Hastie,
Tibshirani and Friedman 2009, "The Elements of Statistical Learning", section 3.4.1) and the calibration part chooses.

Legend: n spectra, F features, C classes present.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from specnet.baselines.classifier import Setting, TrainingSpectra
from specnet.baselines.linear import LinearClassifier, linear_classifier, standardisation
from specnet.baselines.registry import register_baseline

Array = NDArray[np.floating[Any]]

PENALTIES = tuple(float(f"1e{exponent}") for exponent in range(2, -11, -1))
"""Penalties as multiples of the mean variance of a feature times n: strongest first, twelve decades."""
LARGEST_DECOMPOSITION = 3000
"""Above this smaller side of the matrix one Cholesky factor a penalty is quicker than all eigenvectors."""


def ridge_path(features: Array, targets: Array, penalties: Sequence[float]) -> Iterator[tuple[float, Array]]:
    """Solve ``min |X W - T|^2 + alpha |W|^2`` with ``alpha = penalty * trace(X'X) / F`` for each penalty.

    Parameters
    ----------
    features
        X ``(n, F)``, centred.
    targets
        T ``(n, C)``, centred.
    penalties
        Relative penalties; being relative, the same number means the same for any number of spectra.

    Yields
    ------
    tuple
        Penalty and W ``(F, C)``.
    """
    n, n_features = features.shape
    tall = n >= n_features
    gram = features.T @ features if tall else features @ features.T
    right = features.T @ targets if tall else targets
    unit = float(np.trace(gram)) / n_features or 1.0
    if len(gram) > LARGEST_DECOMPOSITION:
        for penalty in penalties:
            shifted = gram.copy()
            shifted.flat[:: len(gram) + 1] += penalty * unit
            solved = scipy.linalg.solve(shifted, right, assume_a="pos", overwrite_a=True, check_finite=False)
            yield penalty, solved if tall else features.T @ solved
        return
    values, vectors = scipy.linalg.eigh(gram, check_finite=False)
    # what rounding leaves of a zero eigenvalue must not be divided by
    floor = max(float(values[-1]), 0.0) * len(gram) * np.finfo(gram.dtype).eps
    turned, back = vectors.T @ right, vectors if tall else features.T @ vectors
    for penalty in penalties:
        inverse = 1 / (np.maximum(values, floor) + penalty * unit)
        yield penalty, back @ (inverse[:, np.newaxis] * turned)


def ridge_classifiers(
    data: TrainingSpectra, features: Array, penalties: Sequence[float], *, standardise: bool
) -> Iterator[tuple[float, LinearClassifier]]:
    """Fit one linear classifier a penalty on features ``(n, F)`` of the spectra."""
    mean, deviation = standardisation(features)
    scale = deviation if standardise else np.full_like(deviation, deviation.mean())
    targets = data.indicator()
    centre = targets.mean(axis=0)
    dtype = features.dtype if len(mean) > LARGEST_DECOMPOSITION else np.float64
    scaled = ((features - mean) / scale).astype(dtype, copy=False)
    for penalty, coefficients in ridge_path(scaled, (targets - centre).astype(dtype), penalties):
        yield penalty, linear_classifier(data, coefficients, centre, mean=mean, scale=scale)


@register_baseline("ridge")
class Ridge:
    """Ridge classifier on all points, on common or on each point's own scale."""

    linear: ClassVar[bool] = True
    selection_spectra: ClassVar[int] = 0

    def settings(self, data: TrainingSpectra) -> Sequence[Setting]:
        """Penalties, strongest first, for both scales."""
        return [{"standardise": scale, "penalty": penalty} for penalty in PENALTIES for scale in (False, True)]

    def fit(self, data: TrainingSpectra, settings: Sequence[Setting]) -> Iterator[tuple[Setting, LinearClassifier]]:
        """Fit both paths."""
        for standardise in (False, True):
            wanted = {float(s["penalty"]): s for s in settings if s["standardise"] is standardise}
            if wanted:
                fitted = ridge_classifiers(data, data.spectra, list(wanted), standardise=standardise)
                yield from ((wanted[penalty], classifier) for penalty, classifier in fitted)
