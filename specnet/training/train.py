"""From a file of spectra to a finished run: split, preprocessing, exit 0, pilots, network."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from specnet import __version__
from specnet.datasets import Holdout, SpectraDataset, SpectraFile
from specnet.errors import ModelError
from specnet.files import write_json
from specnet.nn import SpecNet
from specnet.nn.coded import CodedSpecNet
from specnet.nn.protocol import ExitNetwork
from specnet.training.bottleneck_codec import learned_codec
from specnet.training.bottleneck_files import StoredBottleneck, write_bottleneck
from specnet.training.bottleneck_recipe import BottleneckRecipe
from specnet.training.building import build_network
from specnet.training.checkpoint import check_checkpoint
from specnet.training.config import AUTO, TrainConfig
from specnet.training.data import Split, file_sha256, split_file
from specnet.training.distributed import current_processes
from specnet.training.last_preparation import LastPreparation
from specnet.training.loop import Report, train_network
from specnet.training.pilots import Choice, choose_recipe, read_choice, without_pilots
from specnet.training.preparation import Preparation
from specnet.training.run import CHECKPOINT_FILE, Run, is_finished
from specnet.training.settling import settle

_PREPARE = LastPreparation()


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
    begun = time.monotonic()
    out = Path(out)
    checkpoint = out / CHECKPOINT_FILE
    if checkpoint.exists() and not resume:
        raise ModelError(f"{out} has an unfinished training; continue it with --resume or choose another folder")
    if is_finished(out):
        raise ModelError(f"{out} already has a finished run; choose another folder")
    split = split_file(data, config.seed, config.fold)
    stage(f"split: {split.origin}")
    with SpectraFile(data) as file:
        source_axis, classes, unit = file.axis, file.class_names, file.intensity_unit
    rows = split.rows(Holdout.TRAIN)
    config = config.for_spectra(len(rows))
    digest = file_sha256(data)
    identity = {**config.to_dict(), "data_sha256": digest}
    if checkpoint.exists():
        check_checkpoint(checkpoint, identity)
    prepared, saved_s = _PREPARE(data, digest, split, config, stage)
    stage(f"preprocessing {len(rows)} training spectra")
    dataset = SpectraDataset(data, rows, transform=prepared.bound)

    def build(recipe: TrainConfig) -> ExitNetwork:
        torch.manual_seed(recipe.seed)
        return build_network(recipe, prepared.bound.axis.n_points, len(classes), prepared.linear)

    out.mkdir(parents=True, exist_ok=True)
    offsets = torch.from_numpy(prepared.offsets)
    choice = _choose(out, identity, config, build, dataset, offsets, data, split, prepared, stage)
    settled = choice.settled(config)
    network = build(settled)
    parameters = sum(p.numel() for p in network.parameters())
    stage(f"training {settled.preset} for {settled.epochs} epochs: {parameters:,} parameters")
    progress = train_network(
        network,
        dataset,
        settled,
        offsets=offsets if settled.additive and network.exit0 is not None else None,
        checkpoint=checkpoint,
        identity=identity,
        report=report,
    )
    coded = network if isinstance(network, CodedSpecNet) else None
    run = Run(
        path=out,
        network=settle(network if coded is None else coded.alone(), dataset),
        pipeline=prepared.pipeline,
        axis=prepared.bound.axis,
        source_axis=source_axis,
        classes=classes,
        config=settled,
        split_by=split.split_by,
        split_origin=split.origin,
        intensity_unit=unit,
        provenance={
            **_provenance(Path(data), digest, progress.history, len(rows), prepared, choice),
            # everything from the file to the last step; of the last stretch where it was interrupted
            "seconds": round(time.monotonic() - begun + saved_s, 1),
        },
    )
    if current_processes().is_main:
        run.save()
        if coded is not None:
            _write_bottleneck(run, coded, dataset)
        checkpoint.unlink(missing_ok=True)
        (out / "choice.json").unlink(missing_ok=True)
    return run


def _write_bottleneck(run: Run, coded: CodedSpecNet, dataset: SpectraDataset) -> None:
    """Keep the bottleneck that was trained along; what it takes and leaves is judged after calibration."""
    network, config = run.network, run.config
    assert isinstance(network, SpecNet)
    spectra = torch.stack([dataset[index][0] for index in range(len(dataset))])
    codec = learned_codec(network, coded.bottleneck.eval(), spectra, coded.split, skips_halted=False)
    recipe = BottleneckRecipe(config.bottleneck, config.bottleneck_price)
    name = f"b{config.bottleneck}-joint"
    write_bottleneck(run, StoredBottleneck(name, codec, {**recipe.to_dict(), "joint": True}))


def _choose(
    out: Path,
    identity: dict[str, Any],
    config: TrainConfig,
    build: Callable[[TrainConfig], ExitNetwork],
    dataset: SpectraDataset,
    offsets: Tensor,
    data: Path | str,
    split: Split,
    prepared: Preparation,
    stage: Callable[[str], None],
) -> Choice:
    """Run the pilots, or read what they found before the training was interrupted."""
    if config.augmentation != AUTO:
        return without_pilots(config)
    path = out / "choice.json"
    if kept := read_choice(path, identity):
        return kept
    rows = split.rows(Holdout.CALIBRATION)
    with SpectraFile(data) as file:
        held_out = prepared.bound(file.read(rows))
    pilot = replace(config, bottleneck=0)
    choice = choose_recipe(build, dataset, offsets, held_out, split.labels[rows], pilot, stage=stage)
    if current_processes().is_main:
        write_json(path, {"identity": identity, **asdict(choice)})
    return choice


def _provenance(
    data: Path, digest: str, history: list[dict[str, float]], n_train: int, prepared: Preparation, choice: Choice
) -> dict[str, Any]:
    return {
        "specnet": __version__,
        "torch": str(torch.__version__),
        "data": data.name,
        "data_path": str(data.resolve()),
        "data_sha256": digest,
        "n_train": n_train,
        "preprocessing": prepared.name,
        "preprocessing_tried": prepared.tried,
        "exit0": prepared.linear.name,
        "exit0_tried": prepared.linear.tried,
        "exit0_accuracy": prepared.linear.accuracy,
        "pilots": choice.tried,
        "history": history,
    }
