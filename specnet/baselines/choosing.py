"""Preprocessing and hyperparameters of a baseline, chosen on the calibration part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specnet.baselines.classifier import Baseline, Classifier, Setting, TrainingSpectra
from specnet.errors import DatasetError, SpecnetError
from specnet.preprocessing import Pipeline, list_pipelines, pipeline_preset
from specnet.spectra import SpectralAxis


@dataclass(frozen=True)
class Part:
    """Raw spectra ``(n, n_points)`` of one part of a split, and their labels ``(n,)``."""

    intensity: NDArray[Any]
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class Choice:
    """A fitted baseline and how it was chosen.

    Parameters
    ----------
    classifier
        Fitted on the training part, or on training and calibration part after a refit.
    preprocessing
        Name of the pipeline.
    pipeline
        The pipeline.
    setting
        Hyperparameters.
    calibration_accuracy
        With which it was chosen: of the classifier before any second fit.
    tried
        Number of combinations that were compared.
    left_out
        Why a pipeline could not be used on these spectra, by its name.
    """

    classifier: Classifier
    preprocessing: str
    pipeline: Pipeline
    setting: Setting
    calibration_accuracy: float
    tried: int
    left_out: dict[str, str]


def candidate_pipelines(axis: SpectralAxis) -> dict[str, Pipeline]:
    """All preprocessing presets on this axis that differ; ``auto`` is named by what it stands for."""
    names = sorted(list_pipelines(), key=lambda name: name == "auto")
    different: dict[str, Pipeline] = {}
    for name in names:
        pipeline = pipeline_preset(name, axis)
        if pipeline not in different.values():
            different[name] = pipeline
    return different


def choose(
    baseline: Baseline,
    axis: SpectralAxis,
    train: Part,
    calibration: Part,
    *,
    n_classes: int,
    seed: int,
    refit: bool = False,
    stage: Callable[[str], None] = lambda text: None,
) -> Choice:
    """Fit on the training part with every preprocessing and setting, and keep what is best on the calibration part.

    Of equally accurate ones the first is kept: pipelines in the order of the presets, the plainest setting first. A
    baseline that is slow on many spectra chooses with fewer of them and is then fitted on all.

    Parameters
    ----------
    baseline
        What to fit.
    axis
        Axis of the raw spectra.
    train, calibration
        Raw spectra.
    n_classes
        Number of classes of the data.
    seed
        Of whatever is drawn at random.
    refit
        Fit the chosen combination again on both parts together. Networks keep the calibration part apart, so this is
        more than they see.
    stage
        Called with a sentence when a pipeline begins.

    Raises
    ------
    DatasetError
        When no preprocessing can be used on these spectra, or all are of one class.
    """
    limit = baseline.selection_spectra or len(train.labels)
    few = len(train.labels) > limit
    rows = np.sort(np.random.default_rng(seed).permutation(len(train.labels))[:limit])
    best: Choice | None = None
    tried, left_out = 0, {}
    for name, pipeline in candidate_pipelines(axis).items():
        stage(f"preprocessing {name}")
        try:
            bound = pipeline.bind(axis)
            spectra, held = bound(train.intensity[rows]), bound(calibration.intensity)
        except SpecnetError as error:
            left_out[name] = str(error)
            continue
        data = TrainingSpectra(spectra, train.labels[rows], n_classes, seed)
        settings = list(baseline.settings(data))
        place = {id(setting): number for number, setting in enumerate(settings)}
        found: tuple[float, int, Choice] | None = None
        for setting, classifier in baseline.fit(data, settings):
            tried += 1
            accuracy = float((classifier.scores(held).argmax(axis=1) == calibration.labels).mean())
            rank = (accuracy, -place[id(setting)])
            if found is None or rank > found[:2]:
                found = (*rank, Choice(classifier, name, pipeline, setting, accuracy, 0, {}))
        if found is not None and (best is None or found[0] > best.calibration_accuracy):
            best = found[2]
    if best is None:
        raise DatasetError(f"no preprocessing can be used on these spectra: {left_out}")
    best = replace(best, tried=tried, left_out=left_out)
    if few or refit:
        best = _fit_again(baseline, best, axis, [train, calibration] if refit else [train], n_classes, seed)
    return best


def _fit_again(
    baseline: Baseline, choice: Choice, axis: SpectralAxis, parts: list[Part], n_classes: int, seed: int
) -> Choice:
    spectra = choice.pipeline.bind(axis)(np.concatenate([part.intensity for part in parts]))
    data = TrainingSpectra(spectra, np.concatenate([part.labels for part in parts]), n_classes, seed)
    ((_, classifier),) = baseline.fit(data, [choice.setting])
    return replace(choice, classifier=classifier)
