"""Which cells a comparison consists of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from specnet.datasets import Holdout, SpectraFile
from specnet.datasets.splits import N_FOLDS
from specnet.errors import ConfigurationError
from specnet.evaluation.comparison.cell import Task
from specnet.evaluation.comparison.methods import check_methods
from specnet.training import TrainConfig


@dataclass(frozen=True)
class Plan:
    """Methods, seeds and folds to compare on a file.

    Parameters
    ----------
    data
        File of labelled spectra.
    out
        Folder for cells, runs, table and figure.
    methods
        Names, see `specnet.evaluation.comparison.list_methods`.
    seeds
        Of initialisation, order, kernels, and of splits that have to be made.
    folds
        Folds that are the test part in turn; None stands for the file's own split.
    base
        Configuration that the network recipes start from; its seed and fold are replaced.
    refit
        Fit baselines again on training and calibration part after choosing.

    Raises
    ------
    ConfigurationError
        When a method is unknown, or there is no seed or fold or one is named twice.
    """

    data: Path
    out: Path
    methods: tuple[str, ...]
    seeds: tuple[int, ...] = (0, 1, 2)
    folds: tuple[int | None, ...] = (None,)
    base: TrainConfig = TrainConfig(preset="tiny")  # noqa: RUF009 - frozen
    refit: bool = False

    def __post_init__(self) -> None:
        check_methods(self.methods)
        for name, numbers in (("seeds", self.seeds), ("folds", self.folds)):
            if not numbers or len(set(numbers)) < len(numbers):
                raise ConfigurationError(f"{name} are {list(numbers)}, expected at least one and each once")

    def tasks(self, data_sha256: str) -> Iterator[Task]:
        """All cells, by fold, then seed, then method: what is there first compares all methods."""
        for fold in self.folds:
            for seed in self.seeds:
                config = replace(self.base, seed=seed, fold=fold)
                for method in self.methods:
                    yield Task(method, self.data, self.out, config, self.refit, data_sha256)


def default_folds(data: Path) -> tuple[int | None, ...]:
    """Choose the file's own test part when it has one, otherwise all folds."""
    with SpectraFile(data) as file:
        own = file.holdout is not None and bool(np.any(file.holdout == Holdout.TEST))
    return (None,) if own else tuple(range(N_FOLDS))
