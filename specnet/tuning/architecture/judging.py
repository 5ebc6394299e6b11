"""What every search for a shape needs of one file of spectra: the same task, the same cost, the same judge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from specnet.datasets import Holdout, SpectraDataset, SpectraFile
from specnet.errors import ConfigurationError, ModelError
from specnet.export.latency import cumulative_us
from specnet.nn import PRESETS, SpecNet
from specnet.training.building import build_network
from specnet.training.config import AUTO, TrainConfig
from specnet.training.data import file_sha256, split_file
from specnet.training.likelihood import Judged, judge_network
from specnet.training.linear import LinearChoice
from specnet.training.preparation import prepare_split
from specnet.tuning.architecture.space import Architecture

USUAL_AUGMENTATION = "light"
TIMED_SPECTRA = 64
"""Calibration spectra that a measurement of time cycles through."""


@dataclass(frozen=True)
class Cost:
    """Static MACs of a network up to its last exit, and microseconds on one thread where they were measured."""

    macs: int
    us: float | None


@dataclass(frozen=True)
class CostLimit:
    """Most that a shape may cost, in static MACs and in microseconds; None for any.

    Microseconds are those of all exits in a row in ONNX Runtime, one thread, batch 1, on the machine that measures: two
    measurements of one shape differ by some per cent.
    """

    macs: float | None = None
    us: float | None = None

    def __post_init__(self) -> None:
        for name, what in (("macs", "MACs"), ("us", "microseconds")):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise ConfigurationError(f"a limit of {value} {what} was given, expected a positive number")

    def allows(self, cost: Cost) -> bool:
        """Whether a cost is within the limit; without measured microseconds those are taken to be."""
        macs = self.macs is None or cost.macs <= self.macs
        return macs and (self.us is None or cost.us is None or cost.us <= self.us)


@dataclass(frozen=True)
class Task:
    """A file of spectra made ready for a search; the test part is not in it.

    Parameters
    ----------
    config
        The recipe, its augmentation settled, without position-adaptive depth; its number of epochs is that of a whole
        training.
    limit
        What a shape may cost.
    data_sha256
        Of the file.
    classes
        C names.
    n_points
        L, points of a preprocessed spectrum.
    preprocessing, linear
        Name of the pipeline preset, and what exit 0 is.
    training
        n training spectra ``(L,)``, preprocessed, and labels.
    offsets
        ``(n, C)`` what additive exits are added to in training; None where exits stand on their own.
    held_out, labels
        ``(m, L)`` calibration spectra, preprocessed, and their classes ``(m,)``.
    """

    config: TrainConfig
    limit: CostLimit
    data_sha256: str
    classes: tuple[str, ...]
    n_points: int
    preprocessing: str
    linear: LinearChoice
    training: SpectraDataset
    offsets: torch.Tensor | None
    held_out: NDArray[np.float32]
    labels: NDArray[np.int64]


def read_task(
    data: Path | str, config: TrainConfig, limit: CostLimit, *, stage: Callable[[str], None] = lambda text: None
) -> Task:
    """Split a file and preprocess its training and calibration spectra; spectra of the test part are not read.

    Parameters
    ----------
    data
        HDF5 file with labels.
    config
        The recipe whose shape is searched for. Its seed and fold choose the split. What pilots would choose is fixed:
        augmentation "auto" becomes `USUAL_AUGMENTATION`, and exits stand on their own unless `additive` says otherwise.
    limit
        What a shape may cost.
    stage
        Called with a sentence when something longer begins or a choice was made.

    Raises
    ------
    ConfigurationError
        For recipes whose network has no shape to choose: baselines, pretrained backbones, bottlenecks.
    DatasetError, SpectrumError
        When the data do not fit.
    """
    config = _without_choices(config, stage)
    split = split_file(data, config.seed, config.fold)
    stage(f"split: {split.origin}")
    rows, held_rows = split.rows(Holdout.TRAIN), split.rows(Holdout.CALIBRATION)
    config = config.for_spectra(len(rows))
    prepared = prepare_split(data, split, config, stage)
    stage(f"preprocessing {len(rows)} training and {len(held_rows)} calibration spectra")
    with SpectraFile(data) as file:
        held_out, classes = prepared.bound(file.read(held_rows)), file.class_names
    return Task(
        config=config,
        limit=limit,
        data_sha256=file_sha256(data),
        classes=tuple(classes),
        n_points=prepared.bound.axis.n_points,
        preprocessing=prepared.name,
        linear=prepared.linear,
        training=SpectraDataset(data, rows, transform=prepared.bound),
        offsets=torch.from_numpy(prepared.offsets) if config.additive else None,
        held_out=np.ascontiguousarray(held_out, np.float32),
        labels=split.labels[held_rows],
    )


def build(task: Task, architecture: Architecture) -> SpecNet:
    """Untrained network of a shape, its exit 0 fitted; the same each time.

    Raises
    ------
    ModelError
        When the shape does not suit the axis.
    """
    config = replace(task.config, **architecture.training_options)
    torch.manual_seed(config.seed)
    network = build_network(config, task.n_points, len(task.classes), task.linear)
    assert isinstance(network, SpecNet)
    if network.config.n_stages != architecture.n_stages:  # presets follow the axis by leaving stages out
        raise ModelError(
            f"{task.n_points} points bear {network.config.n_stages} stages, the shape has {architecture.n_stages}"
        )
    return network


def measure(network: SpecNet, task: Task, *, timed: bool | None = None) -> Cost:
    """Cost of a network up to its last exit; weights make no difference, so it can be had before training.

    Parameters
    ----------
    network
        At full depth; put into evaluation mode.
    task
        Gives spectra and limit.
    timed
        Whether to measure microseconds; None does when the limit has some and the MACs are within it.
    """
    macs = network.static_macs()
    if timed is None:
        timed = task.limit.us is not None and task.limit.allows(Cost(macs, None))
    return Cost(macs, cumulative_us(network.eval(), task.held_out[:TIMED_SPECTRA])[-1] if timed else None)


def judge(network: SpecNet, task: Task) -> Judged:
    """Judge all exits together on the calibration spectra, see `judge_network`; searches minimise the nats."""
    return judge_network(network, task.held_out, task.labels, additive=bool(task.config.additive))


def _without_choices(config: TrainConfig, stage: Callable[[str], None]) -> TrainConfig:
    """Fix what pilots would choose for every shape anew, and refuse what fixes the shape."""
    if config.preset not in PRESETS:
        raise ConfigurationError(f"preset {config.preset!r} has no shape to search for; those that do: {list(PRESETS)}")
    if config.pretrained or config.bottleneck:
        part = f"backbone {config.backbone}" if config.pretrained else f"a bottleneck at split {config.bottleneck}"
        raise ConfigurationError(f"the recipe has {part}, which fits one shape; a search expects none")
    if config.augmentation == AUTO:
        stage(f"augmentation {USUAL_AUGMENTATION} for every shape: no pilots within a search")
        config = replace(config, augmentation=USUAL_AUGMENTATION)
    return replace(config, adaptivity="none", phases="joint", additive=bool(config.additive), backbone="")
