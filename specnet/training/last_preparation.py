"""What one training has prepared, kept for the next one in the same process.

Methods that are compared on one split share preprocessing and exit 0, which depend on data, split and seed alone; with
200 classes making them anew took as long as the training.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from specnet.training.config import TrainConfig
from specnet.training.data import Split
from specnet.training.preparation import Preparation, prepare_split


class LastPreparation:
    """Prepares, and remembers the last preparation."""

    def __init__(self) -> None:
        self._key: tuple[object, ...] = ()
        self._kept: tuple[Preparation, float] | None = None

    def __call__(
        self, data: Path | str, digest: str, split: Split, config: TrainConfig, stage: Callable[[str], None]
    ) -> tuple[Preparation, float]:
        """Prepare a training, or take what is remembered.

        Parameters
        ----------
        data, digest
            HDF5 file and its SHA-256.
        split
            What `split_file` makes of the recipe's seed and fold.
        config
            The recipe.
        stage
            Called with a sentence when something begins or was chosen.

        Returns
        -------
        preparation : Preparation
        seconds : float
            Saved by remembering; 0 where it was made now. Times of trainings that are compared include it.

        Raises
        ------
        DatasetError, ConfigurationError, SpectrumError
            When data or names do not fit.
        """
        key = (digest, config.preprocessing, config.seed, config.fold)
        if self._kept is not None and key == self._key:
            prepared, seconds = self._kept
            stage(f"preprocessing {prepared.name} and exit 0, {prepared.linear.name}, as in the training before")
            return prepared, seconds
        begun = time.monotonic()
        prepared = prepare_split(data, split, config, stage)
        self._key, self._kept = key, (prepared, time.monotonic() - begun)
        return prepared, 0.0
