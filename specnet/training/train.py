"""From a file of spectra to a finished run: split, preprocessing, exit 0, network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from specnet import __version__
from specnet.datasets import Holdout, SpectraDataset, SpectraFile
from specnet.errors import ModelError
from specnet.nn import create_model
from specnet.preprocessing import pipeline_preset
from specnet.training.config import TrainConfig
from specnet.training.data import file_sha256, split_file
from specnet.training.linear import fit_linear_exit
from specnet.training.loop import Report, train_network
from specnet.training.run import Run

LINEAR_SPECTRA = 20_000


def train(
    data: Path | str,
    out: Path | str,
    config: TrainConfig,
    *,
    resume: bool = False,
    report: Report = lambda epoch, values: None,
    stage: Callable[[str], None] = lambda text: None,
) -> Run:
    """Train on the training part of a file and write the run.

    Parameters
    ----------
    data
        HDF5 file with labels; its own split is used when it has one.
    out
        Folder of the run.
    config
        The recipe.
    resume
        Continue the checkpoint in `out`; without it an existing checkpoint is an error, so that no work is lost. A
        finished run is never written over.
    report
        Called after each epoch.
    stage
        Called with a sentence when something longer begins or a choice was made.

    Raises
    ------
    DatasetError, ModelError, ConfigurationError
        When data, recipe or checkpoint do not fit.
    """
    out = Path(out)
    checkpoint = out / "checkpoint.safetensors"
    if checkpoint.exists() and not resume:
        raise ModelError(f"{out} has an unfinished training; continue it with --resume or choose another folder")
    if (out / "run.json").exists() and not checkpoint.exists():  # both: killed while the run was being finished
        raise ModelError(f"{out} already has a finished run; choose another folder")
    split = split_file(data, config.seed, config.fold)
    stage(f"split: {split.origin}")
    with SpectraFile(data) as file:
        source_axis, classes, unit = file.axis, file.class_names, file.intensity_unit
    pipeline = pipeline_preset(config.preprocessing, source_axis)
    bound = pipeline.bind(source_axis)
    rows = split.rows(Holdout.TRAIN)
    config = config.for_spectra(len(rows))
    stage(f"preprocessing {len(rows)} training spectra")
    dataset = SpectraDataset(data, rows, transform=bound)
    torch.manual_seed(config.seed)
    torch.use_deterministic_algorithms(True)
    network = create_model(
        config.preset, n_points=bound.axis.n_points, n_classes=len(classes), adaptive=config.adaptive
    )
    stage("fitting exit 0, the linear classifier")
    chosen = rows[:LINEAR_SPECTRA] if len(rows) <= LINEAR_SPECTRA else _sample(rows, config.seed)
    linear_data = SpectraDataset(data, chosen, in_memory=True, transform=bound)
    spectra, labels = zip(*linear_data.__getitems__(range(len(linear_data))), strict=True)
    groups = None if split.groups is None else split.groups[chosen]
    fit_linear_exit(network.exit0, torch.stack(spectra).numpy(), torch.stack(labels).numpy(), groups, seed=config.seed)
    digest = file_sha256(data)
    identity = {**config.to_dict(), "data_sha256": digest}
    out.mkdir(parents=True, exist_ok=True)
    parameters = sum(p.numel() for p in network.parameters())
    stage(f"training {config.preset} for {config.epochs} epochs: {parameters:,} parameters")
    progress = train_network(network, dataset, config, checkpoint=checkpoint, identity=identity, report=report)
    run = Run(
        path=out,
        network=network,
        pipeline=pipeline,
        axis=bound.axis,
        source_axis=source_axis,
        classes=classes,
        config=config,
        split_by=split.split_by,
        split_origin=split.origin,
        intensity_unit=unit,
        provenance=_provenance(Path(data), digest, progress.history, len(rows)),
    )
    run.save()
    checkpoint.unlink(missing_ok=True)
    return run


def _sample(rows: Any, seed: int) -> Any:
    """Enough spectra for a linear fit, in file order."""
    generator = torch.Generator().manual_seed(seed)
    return rows[torch.randperm(len(rows), generator=generator)[:LINEAR_SPECTRA].sort().values.numpy()]


def _provenance(data: Path, digest: str, history: list[dict[str, float]], n_train: int) -> dict[str, Any]:
    return {
        "specnet": __version__,
        "torch": str(torch.__version__),
        "data": data.name,
        "data_path": str(data.resolve()),
        "data_sha256": digest,
        "n_train": n_train,
        "history": history,
    }
