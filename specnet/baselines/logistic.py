"""Softmax regression on the binned, standardised spectrum: what exit 0 of the network is as well."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from specnet.baselines.classifier import Setting, TrainingSpectra
from specnet.baselines.linear import (
    LinearClassifier,
    bin_means,
    bin_widths,
    linear_classifier,
    standardisation,
    two_columns,
)
from specnet.baselines.registry import register_baseline

INVERSE_PENALTIES = (0.003, 0.03, 0.3, 3.0)
MAX_ITERATIONS = 200


@register_baseline("logistic")
class Logistic:
    """Softmax regression; bin width and penalty are chosen."""

    linear: ClassVar[bool] = True
    selection_spectra: ClassVar[int] = 4000

    def settings(self, data: TrainingSpectra) -> Sequence[Setting]:
        """Penalties, strongest first, for each bin width."""
        widths = bin_widths(data.n_points)
        return [{"bin": width, "inverse_penalty": c} for c in INVERSE_PENALTIES for width in widths]

    def fit(self, data: TrainingSpectra, settings: Sequence[Setting]) -> Iterator[tuple[Setting, LinearClassifier]]:
        """Fit each; a weaker penalty starts where the stronger one ended."""
        for width in sorted({int(setting["bin"]) for setting in settings}):
            features = bin_means(data.spectra, width)
            mean, scale = standardisation(features)
            scaled = ((features - mean) / scale).astype(np.float32)
            model = LogisticRegression(max_iter=MAX_ITERATIONS, warm_start=True)
            chosen = [setting for setting in settings if setting["bin"] == width]
            for setting in sorted(chosen, key=lambda s: float(s["inverse_penalty"])):
                model.set_params(C=float(setting["inverse_penalty"]))
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", ConvergenceWarning)  # the last digits of a penalised fit are noise
                    model.fit(scaled, data.codes)
                coefficients, intercepts = two_columns(model.coef_, model.intercept_)
                yield setting, linear_classifier(data, coefficients, intercepts, mean=mean, scale=scale, bin=width)
