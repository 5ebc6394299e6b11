"""A training run on disk: ``run.json``, ``weights.safetensors``, and what calibration and evaluation add.

Legend: n spectra, E exits, P positions of a stage.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from specnet.calibration.cached import CachedLogits
from specnet.datasets import Holdout, SpectraFile
from specnet.errors import DatasetError, ModelError, SpecnetError
from specnet.export.latency import cumulative_us
from specnet.files import read_bounded, write_bytes, write_json
from specnet.nn import HARD, load_weights, save_weights
from specnet.nn.protocol import ExitNetwork
from specnet.preprocessing import Pipeline
from specnet.spectra import SpectralAxis
from specnet.training.config import TrainConfig
from specnet.training.data import split_file

RUN_FORMAT = 1
MAX_RUN_BYTES = 16 << 20
MAX_WEIGHT_BYTES = 1 << 30
RUN_FILE = "run.json"
WEIGHTS_FILE = "weights.safetensors"
CHECKPOINT_FILE = "checkpoint.safetensors"
BATCH = 512
Progress = Callable[[int], None]


@dataclass(frozen=True)
class CachedRun:
    """What a run says of the spectra of one part of a split.

    `logits` holds E exits for n spectra; `depths` one ``(n, P)`` array a stage with the units that ran at each
    position, `units` their number; `spectra` ``(n, n_points)`` preprocessed.
    """

    logits: CachedLogits
    depths: list[NDArray[np.uint8]]
    units: list[int]
    spectra: NDArray[np.float32]


@dataclass(frozen=True)
class Run:
    """A trained network with everything that says what it was trained on.

    `source_axis` is the axis of the training spectra, `axis` the model's, where `pipeline` ends.
    """

    path: Path
    network: ExitNetwork
    pipeline: Pipeline
    axis: SpectralAxis
    source_axis: SpectralAxis
    classes: tuple[str, ...]
    config: TrainConfig
    split_by: str
    split_origin: str
    intensity_unit: str
    provenance: dict[str, Any]

    @property
    def units(self) -> list[int]:
        """Residual units of each position-adaptive stage; empty for networks without such stages."""
        return list(getattr(self.network.config, "units", ())) if self.network.unit_macs() else []

    @property
    def additive(self) -> bool:
        """Whether exits behind exit 0 are added to it."""
        return bool(getattr(self.network.config, "additive", False))

    @property
    def calibration_path(self) -> Path:
        """Where `specnet calibrate` writes."""
        return self.path / "calibration.json"

    def save(self) -> None:
        """Write the run; weights first, so that a ``run.json`` always has its weights."""
        write_bytes(self.path / WEIGHTS_FILE, save_weights(self.network))
        write_json(
            self.path / RUN_FILE,
            {
                "format": RUN_FORMAT,
                "classes": list(self.classes),
                "axis": self.axis.to_dict(),
                "source_axis": self.source_axis.to_dict(),
                "intensity_unit": self.intensity_unit,
                "pipeline": self.pipeline.to_list(),
                "architecture": self.network.config.to_dict(),
                "training": self.config.to_dict(),
                "split_by": self.split_by,
                "split_origin": self.split_origin,
                "provenance": self.provenance,
            },
        )

    def read_part(self, data: Path | str, holdout: Holdout) -> tuple[NDArray[Any], NDArray[np.int64], SpectralAxis]:
        """Raw intensities, labels and axis of one part of a file, split as it was for training.

        Raises
        ------
        DatasetError
            When the file's classes are not the run's.
        """
        return self._read_grouped(data, holdout)[:3]

    def _read_grouped(
        self, data: Path | str, holdout: Holdout
    ) -> tuple[NDArray[Any], NDArray[np.int64], SpectralAxis, NDArray[np.int64] | None]:
        """`read_part`, and the groups of its spectra."""
        split = split_file(data, self.config.seed, self.config.fold)
        rows = split.rows(holdout)
        groups = None if split.groups is None else split.groups[rows]
        with SpectraFile(data) as file:
            if file.class_names != self.classes:
                unknown = sorted(set(file.class_names) ^ set(self.classes))[:5]
                raise DatasetError(
                    f"{data} has {len(file.class_names)} classes, the run {len(self.classes)}; they differ in {unknown}"
                )
            return file.read(rows), split.labels[rows], file.axis, groups

    def cache(self, data: Path | str, holdout: Holdout, progress: Progress = lambda n: None) -> CachedRun:
        """Preprocess one part of a file and run all exits on it.

        Raises
        ------
        DatasetError
            When the file does not fit the run; `AxisError` when its axis does not cover the model's.
        """
        intensity, labels, axis, groups = self._read_grouped(data, holdout)
        cached = self.judge(intensity, labels, axis, progress)
        return replace(cached, logits=replace(cached.logits, groups=groups))

    def judge(
        self,
        intensity: NDArray[Any],
        labels: NDArray[np.int64],
        axis: SpectralAxis,
        progress: Progress = lambda n: None,
    ) -> CachedRun:
        """Preprocess spectra ``(n, points)`` on their axis and run all exits on them.

        Raises
        ------
        AxisError
            When the axis does not cover the model's.
        """
        spectra = self.pipeline.bind(axis)(intensity)
        logits, depths = [], []
        self.network.eval()
        with torch.no_grad():
            for start in range(0, len(spectra), BATCH):
                outputs = self.network(torch.from_numpy(spectra[start : start + BATCH])[:, None], HARD)
                logits.append(torch.stack(outputs.logits).numpy())
                depths.append([depth.to(torch.uint8).numpy() for depth in outputs.depths])
                progress(len(outputs.logits[0]))
        joined = [np.concatenate(parts) for parts in zip(*depths, strict=True)]
        cached = CachedLogits(
            logits=np.concatenate(logits, axis=1),
            labels=labels,
            macs=self.executed_macs(joined, len(spectra)),
            static_macs=self.network.static_macs(),
        )
        return CachedRun(cached, joined, self.units, spectra)

    def executed_macs(self, depths: list[NDArray[np.uint8]], n: int) -> NDArray[np.int64]:
        """Cumulative MACs ``(E, n)`` really executed up to each exit, from the depths of all stages."""
        fixed, unit = self.network.fixed_macs(), self.network.unit_macs()
        spent = np.repeat(np.asarray(fixed, dtype=np.int64)[:, np.newaxis], n, axis=1)
        for k, (depth, macs) in enumerate(zip(depths, unit, strict=True), start=1):
            spent[k] += macs * depth.sum(axis=1, dtype=np.int64)
        return spent.cumsum(axis=0)

    def measure_us(self, threads: int = 1, spectra: NDArray[np.float32] | None = None) -> list[float]:
        """Median microseconds up to each exit: ONNX Runtime, batch 1, preprocessing not included.

        `spectra` are preprocessed ones ``(n, L)`` to run; they decide how many positions halt. Without them a
        standard-normal one is used.
        """
        if spectra is None:
            spectra = np.random.default_rng(0).standard_normal((1, self.axis.n_points), dtype=np.float32)
        return cumulative_us(self.network, spectra, threads=threads)


def is_finished(folder: Path) -> bool:
    """Whether a training has ended there; with both files it was killed while its run was being written."""
    return (folder / RUN_FILE).exists() and not (folder / CHECKPOINT_FILE).exists()


def load_run(path: Path | str) -> Run:
    """Read a training run.

    Raises
    ------
    ModelError
        When the folder is no finished run, damaged, or written by a newer release.
    """
    path = Path(path)
    document = _read(path / RUN_FILE, MAX_RUN_BYTES, path)
    weights = _read(path / WEIGHTS_FILE, MAX_WEIGHT_BYTES, path)
    try:
        plain = json.loads(document)
        if plain["format"] > RUN_FORMAT:
            raise ModelError(f"{path} has run format {plain['format']}, this release reads up to {RUN_FORMAT}")
        return Run(
            path=path,
            network=load_weights(plain["architecture"], weights),
            pipeline=Pipeline.from_list(plain["pipeline"]),
            axis=SpectralAxis.from_dict(plain["axis"]),
            source_axis=SpectralAxis.from_dict(plain["source_axis"]),
            classes=tuple(plain["classes"]),
            config=TrainConfig.from_dict(plain["training"]),
            split_by=plain["split_by"],
            split_origin=plain["split_origin"],
            intensity_unit=plain["intensity_unit"],
            provenance=plain["provenance"],
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path / RUN_FILE} is damaged: {type(error).__name__} {error}") from error
    except ModelError:
        raise
    except SpecnetError as error:
        raise ModelError(f"{path / RUN_FILE}: {error}") from error


def _read(file: Path, limit: int, run: Path) -> bytes:
    try:
        return read_bounded(file, limit, "file", ModelError)
    except ModelError as error:
        raise ModelError(f"{run} is no finished training run: {error}") from error
