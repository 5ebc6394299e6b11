"""Exit 0: a linear classifier on the binned spectrum, fitted apart from the network.

Trained jointly at the network's learning rate it loses several points; as a regularised softmax regression it is the
chemometric baseline itself.
"""

from __future__ import annotations

import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from specnet.errors import DatasetError
from specnet.nn import LinearExit

INVERSE_PENALTIES = (0.003, 0.03, 0.3, 3.0)
USUAL_PENALTY = 0.03
"""Taken when the training spectra are too few to be divided for a choice."""
SELECTION_SPECTRA = 4000
MAX_ITERATIONS = 200


def fit_linear_exit(
    exit0: LinearExit,
    spectra: NDArray[np.float32],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64] | None,
    *,
    seed: int,
) -> float:
    """Fit exit 0 on training spectra ``(n, L)`` and write its weights.

    The penalty is chosen on one grouped fold inside the training spectra; calibration data stay untouched, because
    thresholds are set on them later.

    Returns
    -------
    float
        The inverse penalty C that was chosen.

    Raises
    ------
    DatasetError
        When all spectra are of one class.
    """
    if len(np.unique(labels)) < 2:
        raise DatasetError(f"all {len(labels)} training spectra are of one class, at least two are needed")
    with torch.no_grad():
        features = exit0.pool(torch.from_numpy(spectra)[:, None]).numpy().astype(np.float64)
    # these products are small: threads of BLAS that wait for each other beside torch's own take far longer
    with threadpool_limits(1, user_api="blas"):
        penalty = _choose_penalty(features, labels, groups, seed)
        scaler, model = _fit(features, labels, penalty)
    weight = np.zeros(exit0.weight.shape)
    bias = np.full(len(exit0.bias), -30.0)  # classes without a training spectrum are never answered
    coefficients, intercepts = model.coef_, model.intercept_
    if len(model.classes_) == 2:  # one row for two classes: symmetric logits give the same probabilities
        coefficients, intercepts = np.vstack([-coefficients, coefficients]) / 2, np.r_[-intercepts, intercepts] / 2
    weight[model.classes_] = coefficients / scaler.scale_
    bias[model.classes_] = intercepts - (coefficients / scaler.scale_) @ scaler.mean_
    exit0.weight.copy_(torch.from_numpy(weight))
    exit0.bias.copy_(torch.from_numpy(bias))
    return penalty


def _choose_penalty(
    features: NDArray[np.float64], labels: NDArray[np.int64], groups: NDArray[np.int64] | None, seed: int
) -> float:
    rows = np.random.default_rng(seed).permutation(len(labels))[:SELECTION_SPECTRA]
    features, labels = features[rows], labels[rows]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # classes rarer than the folds
        if groups is None:
            folds = StratifiedKFold(3, shuffle=True, random_state=seed).split(features, labels)
        else:
            folds = StratifiedGroupKFold(3, shuffle=True, random_state=seed).split(features, labels, groups[rows])
        try:
            train, held_out = next(iter(folds))
        except ValueError:  # every class is rarer than the folds, or there are fewer groups
            return USUAL_PENALTY
    if len(np.unique(labels[train])) < 2 or not len(held_out):
        return USUAL_PENALTY
    scores = {}
    for penalty in INVERSE_PENALTIES:
        scaler, model = _fit(features[train], labels[train], penalty)
        scores[penalty] = model.score(scaler.transform(features[held_out]), labels[held_out])
    return max(scores, key=lambda penalty: scores[penalty])


def _fit(
    features: NDArray[np.float64], labels: NDArray[np.int64], penalty: float
) -> tuple[StandardScaler, LogisticRegression]:
    scaler = StandardScaler().fit(features)
    model = LogisticRegression(C=penalty, max_iter=MAX_ITERATIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the last digits of a regularised fit do not matter
        model.fit(scaler.transform(features), labels)
    return scaler, model
