"""Exit 0: a linear classifier on the spectrum, chosen and fitted apart from the network.

Trained jointly at the network's learning rate it loses several points; fitted on its own it is the chemometric
baseline itself. Kind and regularisation are chosen by grouped cross-validation inside the training spectra, so that
calibration data stay untouched; a file's own calibration part judges instead where there is one, because without groups
cross-validation believes repeated measurements of one sample to be new spectra (99 % right where it is 85 %). The same
folds give its *out-of-fold* logits: what it says of spectra that it was not fitted on, which additive exits are trained
against.

Legend: n spectra, L points, F features, C classes.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from threadpoolctl import threadpool_limits

from specnet.calibration.temperature import fit_temperature, negative_log_likelihood
from specnet.errors import DatasetError
from specnet.exits import log_softmax
from specnet.nn import LinearExit
from specnet.training.linear_models import CANDIDATES, Floats, LinearModel, LinearScores

FOLDS = 4
SELECTION_SPECTRA = 3000
"""Spectra on which candidates are compared; the winner is fitted on all."""
USUAL = "softmax_0.03"
"""Taken when the training spectra are too few to be divided for a choice."""
NEVER_ANSWERED = -30.0


@dataclass(frozen=True)
class Unseen:
    """Preprocessed spectra ``(m, L)`` and classes ``(m,)`` that judge candidates instead of cross-validation."""

    spectra: NDArray[np.float32]
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class LinearChoice:
    """The linear classifier chosen for exit 0.

    Parameters
    ----------
    name
        Its name in `CANDIDATES`.
    bin
        Points averaged into one feature.
    scores
        Fitted on all training spectra, with a temperature that makes softmax of its scores probabilities.
    out_of_fold
        ``(n, C)`` float32 logits of the training spectra, each from a fit that had not seen its group.
    accuracy
        Share of right answers out of fold, or on unseen spectra where those judged, 0..1.
    tried
        The same of every candidate.
    """

    name: str
    bin: int
    scores: LinearScores
    out_of_fold: NDArray[np.float32]
    accuracy: float
    tried: dict[str, float]


def compare_linear(
    spectra: NDArray[np.float32],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64] | None,
    n_classes: int,
    *,
    bin_points: int,
    seed: int,
    candidates: Mapping[str, LinearModel] = CANDIDATES,
    unseen: Unseen | None = None,
) -> dict[str, tuple[float, float]]:
    """Accuracy and log-likelihood a spectrum (tempered) of every candidate on unseen spectra; parameters as below.

    Empty when there are too few spectra or groups to divide, and none that are unseen.
    """
    rows = np.random.default_rng(seed).permutation(len(labels))[:SELECTION_SPECTRA]
    spectra, labels, groups = spectra[rows], labels[rows], None if groups is None else groups[rows]
    if unseen is None:
        folds, judged = _folds(labels, groups, seed), np.arange(len(labels))
    else:
        judged = len(labels) + np.arange(len(unseen.labels))
        folds = [(np.arange(len(labels)), judged)]
        spectra, labels = np.concatenate([spectra, unseen.spectra]), np.concatenate([labels, unseen.labels])
    features = _features(spectra, bin_points)
    found: dict[str, tuple[float, float]] = {}
    # these products are small: threads of BLAS that wait for each other beside torch's own take far longer
    with threadpool_limits(1, user_api="blas"):
        for name, model in candidates.items() if folds else ():
            logits = _out_of_fold(model, features[model.full_resolution], labels, folds, n_classes)
            accuracy, likelihood, _ = _judge(logits[judged], labels[judged])
            found[name] = (accuracy, -likelihood)
    return found


def choose_linear(
    spectra: NDArray[np.float32],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64] | None,
    n_classes: int,
    *,
    bin_points: int,
    seed: int,
    candidates: Mapping[str, LinearModel] = CANDIDATES,
    unseen: Unseen | None = None,
) -> LinearChoice:
    """Choose and fit a linear classifier.

    Parameters
    ----------
    spectra, labels, groups
        Training spectra ``(n, L)``, classes ``(n,)`` and groups ``(n,)`` that stay together; None for no groups.
    n_classes
        C, also where a class has no training spectrum.
    bin_points
        Points that candidates without `full_resolution` average.
    seed
        Of the folds.
    candidates
        What to try.
    unseen
        What judges the candidates; None for cross-validation.

    Raises
    ------
    DatasetError
        When all spectra are of one class.
    """
    if len(np.unique(labels)) < 2:
        raise DatasetError(f"all {len(labels)} training spectra are of one class, at least two are needed")
    options = {"bin_points": bin_points, "seed": seed}
    tried = compare_linear(spectra, labels, groups, n_classes, **options, candidates=candidates, unseen=unseen)
    name = max(tried, key=lambda candidate: tried[candidate]) if tried else USUAL
    model = candidates.get(name) or CANDIDATES[USUAL]
    features = _features(spectra, bin_points)[model.full_resolution]
    folds = _folds(labels, groups, seed)
    with threadpool_limits(1, user_api="blas"):
        fitted = model.fit(features, labels)
        if folds:
            out_of_fold = _out_of_fold(model, features, labels, folds, n_classes)
        else:
            out_of_fold = complete(fitted(features), fitted.classes, n_classes)
    accuracy, _, temperature = _judge(out_of_fold, labels)
    if unseen is not None and tried:
        accuracy = tried[name][0]
    return LinearChoice(
        name=name,
        bin=1 if model.full_resolution else bin_points,
        scores=fitted.scaled(1.0 / temperature),
        out_of_fold=(out_of_fold / np.float32(temperature)).astype(np.float32),
        accuracy=accuracy,
        tried={candidate: found[0] for candidate, found in tried.items()},
    )


def write_linear_exit(exit0: LinearExit, scores: LinearScores) -> None:
    """Write a fitted classifier into exit 0; a class without training spectra is never answered."""
    weight = np.zeros(exit0.weight.shape)
    bias = np.full(len(exit0.bias), NEVER_ANSWERED + float(scores.bias.min()))
    weight[scores.classes], bias[scores.classes] = scores.weight, scores.bias
    exit0.weight.copy_(torch.from_numpy(weight))
    exit0.bias.copy_(torch.from_numpy(bias))


def bin_means(spectra: NDArray[np.float32], points: int) -> NDArray[np.float32]:
    """Means ``(n, L // points)`` over consecutive points, as exit 0 pools them."""
    bins = spectra.shape[1] // points
    means: NDArray[np.float32] = spectra[:, : bins * points].reshape(len(spectra), bins, points).mean(axis=2)
    return means


def _features(spectra: NDArray[np.float32], bin_points: int) -> dict[bool, Floats]:
    """Every point (key True), and means over `bin_points` (False)."""
    return {full: bin_means(spectra, 1 if full else bin_points).astype(np.float64) for full in (True, False)}


def complete(scores: Floats, classes: NDArray[np.int64], n_classes: int) -> NDArray[np.float32]:
    """Scores ``(n, C)`` of all classes; those that the fit had not seen get the lowest score of each spectrum."""
    logits = np.repeat(scores.min(axis=1, keepdims=True), n_classes, axis=1)
    logits[:, classes] = scores
    return logits.astype(np.float32)


_Folds = list[tuple[NDArray[np.int64], NDArray[np.int64]]]


def _folds(labels: NDArray[np.int64], groups: NDArray[np.int64] | None, seed: int) -> _Folds:
    """Stratified folds, grouped where there are groups; empty when there is too little to divide."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # classes rarer than the folds
        try:
            if groups is None:
                folds = list(StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(labels, labels))
            else:
                splitter = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
                folds = list(splitter.split(labels, labels, groups))
        except ValueError:  # every class is rarer than the folds, or there are fewer groups
            return []
    usable = all(len(held_out) and len(np.unique(labels[train])) >= 2 for train, held_out in folds)
    return folds if usable else []


def _out_of_fold(
    model: LinearModel, features: Floats, labels: NDArray[np.int64], folds: _Folds, n_classes: int
) -> NDArray[np.float32]:
    logits = np.zeros((len(labels), n_classes), dtype=np.float32)
    for train, held_out in folds:
        fitted = model.fit(features[train], labels[train])
        logits[held_out] = complete(fitted(features[held_out]), fitted.classes, n_classes)
    return logits


def _judge(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> tuple[float, float, float]:
    """Accuracy, tempered negative log-likelihood and its temperature."""
    # models differ by powers of ten in the scale of their scores, and temperatures are searched within bounds
    scale = max(float((logits - logits.mean(axis=1, keepdims=True)).std()), 1e-30)
    temperature = scale * fit_temperature(logits / np.float32(scale), labels)
    likelihood = negative_log_likelihood(log_softmax(logits / np.float32(temperature)), labels)
    return float((logits.argmax(axis=1) == labels).mean()), likelihood, temperature
