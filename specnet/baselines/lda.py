"""Linear discriminant analysis on the binned spectrum, its covariance shrunk after Ledoit and Wolf (2004)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from specnet.baselines.classifier import Setting, TrainingSpectra
from specnet.baselines.linear import LinearClassifier, bin_means, bin_widths, linear_classifier, two_columns
from specnet.baselines.registry import register_baseline

SHRINKAGES: tuple[float | str, ...] = ("auto", 0.1, 0.01, 1e-3, 1e-4)


@register_baseline("lda")
class Lda:
    """Linear discriminant analysis; bin width and shrinkage are chosen, the analytic shrinkage among others."""

    linear: ClassVar[bool] = True
    selection_spectra: ClassVar[int] = 0

    def settings(self, data: TrainingSpectra) -> Sequence[Setting]:
        """Shrinkages for each bin width."""
        return [{"bin": width, "shrinkage": s} for s in SHRINKAGES for width in bin_widths(data.n_points)]

    def fit(self, data: TrainingSpectra, settings: Sequence[Setting]) -> Iterator[tuple[Setting, LinearClassifier]]:
        """Fit each."""
        for setting in settings:
            width = int(setting["bin"])
            features = bin_means(data.spectra, width).astype(np.float64)
            model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=setting["shrinkage"])
            with warnings.catch_warnings():
                # a class of a single spectrum adds nothing to the covariance
                warnings.filterwarnings("ignore", message="Only one sample available", category=UserWarning)
                model.fit(features, data.codes)
            coefficients, intercepts = two_columns(model.coef_, model.intercept_)
            yield setting, linear_classifier(data, coefficients, intercepts, bin=width)
