"""PLS-DA: partial least squares regression on one-hot labels (Barker and Rayens 2003, J. Chemometrics 17, 166)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import ClassVar

from sklearn.cross_decomposition import PLSRegression
from sklearn.exceptions import ConvergenceWarning

from specnet.baselines.classifier import Setting, TrainingSpectra
from specnet.baselines.linear import LinearClassifier, linear_classifier, standardisation
from specnet.baselines.registry import register_baseline

COMPONENTS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 18, 20, 24, 28, 32, 40, 50, 60, 80)
MAX_ITERATIONS = 100


@register_baseline("pls_da")
class PlsDa:
    """Partial least squares on mean-centred spectra; the number of components is chosen."""

    linear: ClassVar[bool] = True
    selection_spectra: ClassVar[int] = 4000

    def settings(self, data: TrainingSpectra) -> Sequence[Setting]:
        """Numbers of components that the spectra allow."""
        most = min(len(data.spectra) - 1, data.n_points)
        return [{"components": number} for number in COMPONENTS if number <= most]

    def fit(self, data: TrainingSpectra, settings: Sequence[Setting]) -> Iterator[tuple[Setting, LinearClassifier]]:
        """Fit the largest number of components once: models with fewer are its beginnings.

        Each component is deflated away before the next, so rotations and loadings of the first k are those of a model
        with k components.
        """
        most = max(int(setting["components"]) for setting in settings)
        mean, deviation = standardisation(data.spectra)
        unit = float(deviation.mean()) or 1.0
        targets = data.indicator()
        model = PLSRegression(most, scale=False, max_iter=MAX_ITERATIONS)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # directions nearly equal in covariance: either serves
            warnings.filterwarnings("ignore", message="y residual is constant", category=UserWarning)
            model.fit((data.spectra - mean) / unit, targets)
        for setting in settings:
            k = int(setting["components"])
            coefficients = model.x_rotations_[:, :k] @ model.y_loadings_[:, :k].T
            yield setting, linear_classifier(data, coefficients, targets.mean(axis=0), mean=mean, scale=unit)
