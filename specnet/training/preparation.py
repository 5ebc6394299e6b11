"""What is settled before the network is built: preprocessing, and the linear classifier of exit 0."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specnet.datasets import Holdout, SpectraFile
from specnet.errors import SpectrumError
from specnet.preprocessing import BoundPipeline, Pipeline, fit_pipeline, suitable_pipelines
from specnet.spectra import SpectralAxis
from specnet.training.config import AUTO, TrainConfig
from specnet.training.data import Split
from specnet.training.linear import (
    SELECTION_SPECTRA,
    LinearChoice,
    Unseen,
    bin_means,
    choose_linear,
    compare_linear,
    complete,
)
from specnet.training.linear_models import COMPARED

LINEAR_SPECTRA = 20_000
"""Most training spectra that linear models are fitted on; more do not change a fit of a few hundred features."""
COMPARED_SPECTRA = 1_200
"""Training spectra on which preprocessings are compared."""
BINS = 250
"""Features of a linear model that averages points."""

Stage = Callable[[str], None]


@dataclass(frozen=True)
class RawSpectra:
    """Spectra ``(m, L)`` on the file's axis and their classes ``(m,)``."""

    intensity: NDArray[Any]
    labels: NDArray[np.int64]

    def through(self, bound: BoundPipeline) -> Unseen:
        """Preprocess them."""
        return Unseen(bound(self.intensity), self.labels)


@dataclass(frozen=True)
class Preparation:
    """Preprocessing and exit 0 of a training.

    Parameters
    ----------
    name, pipeline, bound
        Preset, pipeline, and the same made ready for the training spectra's axis.
    linear
        The classifier chosen for exit 0.
    offsets
        ``(n, C)`` what it says of each training spectrum without having seen it or its group.
    tried
        Accuracy of the best linear classifier with every preprocessing that was compared.
    """

    name: str
    pipeline: Pipeline
    bound: BoundPipeline
    linear: LinearChoice
    offsets: NDArray[np.float32]
    tried: dict[str, float]


def prepare(
    data: Path | str,
    rows: NDArray[np.int64],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64] | None,
    *,
    preprocessing: str,
    seed: int,
    unseen: NDArray[np.int64] | None = None,
    stage: Stage = lambda text: None,
) -> Preparation:
    """Choose preprocessing and exit 0 without the test part of a file; fit them on the training spectra alone.

    Parameters
    ----------
    data
        HDF5 file.
    rows, labels, groups
        Training spectra: their rows in the file, classes and groups, each ``(n,)``.
    preprocessing
        Name of a pipeline preset, or ``"auto"`` to compare those that suit the axis.
    seed
        Of samples and folds.
    unseen
        Rows of calibration spectra that judge what is compared; None to cross-validate on the training spectra.
    stage
        Called with a sentence when something begins or was chosen.

    Raises
    ------
    DatasetError, ConfigurationError, SpectrumError
        When data or names do not fit.
    """
    with SpectraFile(data) as file:
        axis, n_classes = file.axis, len(file.class_names)
        chosen = _sample(len(rows), LINEAR_SPECTRA, seed)
        intensity = file.read(rows[chosen])
        names = suitable_pipelines(axis, intensity) if preprocessing == AUTO else [preprocessing]
        judges = None
        if unseen is not None:
            held_out, judged_by = unseen[_sample(len(unseen), SELECTION_SPECTRA, seed)], file.labels
            assert judged_by is not None
            judges = RawSpectra(file.read(held_out), judged_by[held_out])
        compared: dict[str, float] = {}
        if len(names) > 1:
            compared = compare_preprocessings(
                names,
                axis,
                intensity,
                labels[chosen],
                _take(groups, chosen),
                n_classes=n_classes,
                seed=seed,
                unseen=judges,
                stage=stage,
            )
        name = max(compared, key=lambda candidate: compared[candidate]) if compared else names[0]
        pipeline = fit_pipeline(name, axis, intensity)
        bound = pipeline.bind(axis)
        stage(f"preprocessing {name}: fitting exit 0, the linear classifier")
        spectra = bound(intensity)
        linear = choose_linear(
            spectra,
            labels[chosen],
            _take(groups, chosen),
            n_classes,
            bin_points=points_per_bin(bound.axis),
            seed=seed,
            unseen=None if judges is None else judges.through(bound),
        )
        offsets = np.empty((len(rows), n_classes), np.float32)
        offsets[chosen] = linear.out_of_fold
        _judge_rest(file, rows, chosen, bound, linear, offsets)
    how = "in cross-validation on the training spectra" if judges is None else "on the file's own calibration part"
    stage(f"exit 0 is {linear.name}: {linear.accuracy:.1%} right {how}")
    return Preparation(name, pipeline, bound, linear, offsets, compared)


def prepare_split(data: Path | str, split: Split, config: TrainConfig, stage: Stage) -> Preparation:
    """`prepare` for the training part of a split; the file's own calibration part judges where it has one."""
    rows = split.rows(Holdout.TRAIN)
    return prepare(
        data,
        rows,
        split.labels[rows],
        _take(split.groups, rows),
        preprocessing=config.preprocessing,
        seed=config.seed,
        unseen=split.rows(Holdout.CALIBRATION) if split.own_calibration else None,
        stage=stage,
    )


def points_per_bin(axis: SpectralAxis) -> int:
    """Points that a linear model on means averages."""
    return max(1, axis.n_points // BINS)


def compare_preprocessings(
    names: list[str],
    axis: SpectralAxis,
    intensity: NDArray[Any],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64] | None,
    *,
    n_classes: int,
    seed: int,
    unseen: RawSpectra | None = None,
    stage: Stage = lambda text: None,
) -> dict[str, float]:
    """Judge the best linear classifier with each preprocessing, fitted on at most `COMPARED_SPECTRA` spectra.

    Parameters
    ----------
    names
        Pipeline presets.
    axis, intensity, labels, groups
        Training spectra: ``(n, L)`` on their axis, classes and groups, each ``(n,)``; None for no groups.
    n_classes
        C, also where a class has no training spectrum.
    unseen
        What judges; None for cross-validation.
    seed, stage
        As for `prepare`.

    Returns
    -------
    dict
        Share of right answers, 0..1, by name. Empty when there are too few spectra to divide; without those that the
        spectra cannot go through.
    """
    some = _sample(len(labels), COMPARED_SPECTRA, seed)
    found = {}
    for name in names:
        try:
            bound = fit_pipeline(name, axis, intensity[some]).bind(axis)
            spectra = bound(intensity[some])
        except SpectrumError as error:  # such as a constant spectrum, which cannot be scaled
            stage(f"preprocessing {name} is out: {error}")
            continue
        bins = points_per_bin(bound.axis)
        tried = compare_linear(
            spectra,
            labels[some],
            _take(groups, some),
            n_classes,
            bin_points=bins,
            seed=seed,
            candidates=COMPARED,
            unseen=None if unseen is None else unseen.through(bound),
        )
        if not tried:  # too few spectra to divide: the usual one
            return {}
        best = max(tried, key=lambda candidate: tried[candidate])
        found[name] = tried[best][0]
        stage(f"preprocessing {name}: a linear model ({best}) is right on {found[name]:.1%} of unseen spectra")
    return found


def _judge_rest(
    file: SpectraFile,
    rows: NDArray[np.int64],
    chosen: NDArray[np.int64],
    bound: BoundPipeline,
    linear: LinearChoice,
    offsets: NDArray[np.float32],
) -> None:
    """Spectra beyond the sample that the linear model was fitted on are unseen anyway."""
    rest = np.setdiff1d(np.arange(len(rows)), chosen)
    for start in range(0, len(rest), COMPARED_SPECTRA):
        block = rest[start : start + COMPARED_SPECTRA]
        features = bin_means(bound(file.read(rows[block])), linear.bin).astype(np.float64)
        offsets[block] = complete(linear.scores(features), linear.scores.classes, offsets.shape[1])


def _sample(n: int, most: int, seed: int) -> NDArray[np.int64]:
    """At most `most` of n numbers, ascending."""
    if n <= most:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).permutation(n)[:most])


def _take(groups: NDArray[np.int64] | None, rows: NDArray[np.int64]) -> NDArray[np.int64] | None:
    return None if groups is None else groups[rows]
