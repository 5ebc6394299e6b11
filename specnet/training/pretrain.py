"""Pretraining: stem and stages learn from a corpus of many substances and instruments, to be trained further."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from specnet import __version__
from specnet.datasets import Holdout, SpectraDataset, SpectraFile
from specnet.errors import ConfigurationError, DatasetError, ModelError
from specnet.nn import PRESETS, ExitNetwork, create_model
from specnet.preprocessing import BoundPipeline, pipeline_preset
from specnet.preprocessing.presets import FITTED
from specnet.training.building import BACKBONE, save_backbone
from specnet.training.config import AUTO, TrainConfig
from specnet.training.data import file_sha256, split_file
from specnet.training.distributed import current_processes
from specnet.training.likelihood import all_logits
from specnet.training.loop import Report, train_network

FEWEST_EPOCHS = 20
"""Backbones are trained once and for many sets."""
JUDGED = 2048
"""Held-out spectra that are judged at once."""

PRETRAINING: dict[str, Any] = {
    "preprocessing": "snv",
    "adaptivity": "none",
    "additive": False,
    "losses": ("cross_entropy",),
    "phases": "joint",
    "augmentation": "strong",
    "backbone": "",
}
"""Changes to the default recipe: depth, exit 0 and disturbances are matters of the set that is trained on later."""


@dataclass(frozen=True)
class Backbone:
    """A pretrained backbone on disk.

    Parameters
    ----------
    path
        Stem and stages as safetensors.
    n_train, n_held_out, n_classes, n_points
        Spectra trained on, held-out spectra and substances of the corpus, and points of a preprocessed spectrum.
    accuracy
        Share of held-out spectra that each exit behind exit 0 has right, 0..1.
    parameters
        Numbers in the file.
    epochs
        Passes over the corpus.
    """

    path: Path
    n_train: int
    n_held_out: int
    n_classes: int
    n_points: int
    accuracy: list[float]
    parameters: int
    epochs: int


def pretrain(
    corpus: Path | str,
    out: Path | str,
    config: TrainConfig,
    *,
    resume: bool = False,
    report: Report = lambda epoch, values: None,
    stage: Callable[[str], None] = lambda text: None,
) -> Backbone:
    """Train a network on a corpus, and keep what depends neither on axis nor on classes.

    All but the test part of the corpus is trained on, since nothing is chosen by it; the test part tells how well the
    substances are told apart. There is no exit 0: it would be fitted anew with the set that comes later.

    Parameters
    ----------
    corpus
        HDF5 file with labels.
    out
        File of the backbone. Its checkpoint lies beside it until it is finished.
    config
        The recipe; `PRETRAINING` is what is measured. Its number of epochs is settled here when it is 0.
    resume
        Continue the checkpoint; without it an existing one is an error.
    report
        Called after each epoch.
    stage
        Called with a sentence when something longer begins.

    Raises
    ------
    ConfigurationError
        When the preset has no backbone, or the recipe is one for choosing or for exit 0.
    DatasetError, ModelError
        When corpus, recipe or checkpoint do not fit.
    """
    out = Path(out)
    checkpoint = checkpoint_of(out)
    _require_place(out, checkpoint, resume=resume)
    _require_recipe(config)
    split = split_file(corpus, config.seed, config.fold)
    with SpectraFile(corpus) as file:
        axis, n_classes = file.axis, len(file.class_names)
        learnt = np.flatnonzero((split.holdout != Holdout.TEST) & (split.labels >= 0))
        held_out = split.rows(Holdout.TEST)
        if len(np.unique(split.labels[learnt])) < 2:
            raise DatasetError(
                f"all {len(learnt)} spectra of {corpus} to learn are of one class, expected at least two"
            )
        config = config.for_spectra(len(learnt), fewest=FEWEST_EPOCHS)
        bound = pipeline_preset(config.preprocessing, axis).bind(axis)
    digest = file_sha256(corpus)
    torch.manual_seed(config.seed)
    options = config.network_options
    network = create_model(config.preset, n_points=bound.axis.n_points, n_classes=n_classes, **options)
    stage(f"preprocessing {len(learnt):,} spectra")
    dataset = SpectraDataset(corpus, learnt, transform=bound)
    stage(f"pretraining {config.preset} on {n_classes:,} substances for {config.epochs} epochs")
    out.parent.mkdir(parents=True, exist_ok=True)
    identity = {**config.to_dict(), "data_sha256": digest}
    train_network(network, dataset, config, checkpoint=checkpoint, identity=identity, report=report)
    accuracy = _held_out_accuracy(network, corpus, held_out, split.labels, bound)
    facts = {
        "specnet": __version__,
        "preset": config.preset,
        "block": config.block,
        "preprocessing": config.preprocessing,
        "augmentation": config.augmentation,
        "corpus_sha256": digest,
        "n_classes": n_classes,
        "n_points": bound.axis.n_points,
        "seed": config.seed,
        "epochs": config.epochs,
        "accuracy": accuracy,
    }
    if current_processes().is_main:
        save_backbone(network, out, {name: json.dumps(value) for name, value in facts.items()})
        checkpoint.unlink(missing_ok=True)
    return Backbone(
        path=out,
        n_train=len(learnt),
        n_held_out=len(held_out),
        n_classes=n_classes,
        n_points=bound.axis.n_points,
        accuracy=accuracy,
        parameters=_backbone_size(network),
        epochs=config.epochs,
    )


def checkpoint_of(out: Path) -> Path:
    """Where the checkpoint of a backbone lies."""
    return out.with_name(f"{out.name}.checkpoint")


def _require_place(out: Path, checkpoint: Path, *, resume: bool) -> None:
    if out.is_dir():
        raise ModelError(f"{out} is a folder, expected the name of a file to write the backbone to")
    if checkpoint.exists() and not resume:
        raise ModelError(f"{out} has an unfinished pretraining; continue it with --resume or choose another name")
    if out.exists() and not checkpoint.exists():
        raise ModelError(f"{out} already exists; choose another name")


def _require_recipe(config: TrainConfig) -> None:
    if config.preset not in PRESETS:
        raise ConfigurationError(f"preset {config.preset!r} has no backbone; known: {', '.join(PRESETS)}")
    for name in ("preprocessing", "augmentation"):
        if getattr(config, name) == AUTO:
            raise ConfigurationError(f"{name} is {AUTO!r}, expected a name: pretraining compares nothing")
    if config.preprocessing in FITTED:
        raise ConfigurationError(
            f"preprocessing {config.preprocessing!r} is fitted to its spectra and would be another later; "
            f"expected none of {', '.join(sorted(FITTED))}"
        )
    if config.additive:
        raise ConfigurationError("additive exits need an exit 0, expected additive = false: pretraining fits none")
    if config.pretrained:
        raise ConfigurationError(f"backbone is {config.backbone!r}, expected none: pretraining makes one")


def _held_out_accuracy(
    network: ExitNetwork,
    corpus: Path | str,
    rows: NDArray[np.int64],
    labels: NDArray[np.int64],
    bound: BoundPipeline,
) -> list[float]:
    """Share of right answers of the exits behind exit 0."""
    right = np.zeros(network.n_exits - 1, dtype=np.int64)
    with SpectraFile(corpus) as file:
        for start in range(0, len(rows), JUDGED):
            block = rows[start : start + JUDGED]
            logits = all_logits(network, bound(file.read(block)))[1:]
            right += (logits.argmax(axis=2) == labels[block]).sum(axis=1)
    return [float(count / len(rows)) for count in right]


def _backbone_size(network: ExitNetwork) -> int:
    return sum(tensor.numel() for name, tensor in network.state_dict().items() if name.startswith(BACKBONE))
