"""Mean, standard deviation and standard error of a number over cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

Place = tuple[int, int | None]
"""Seed and fold."""


@dataclass(frozen=True)
class Spread:
    """What a number is over seeds and folds.

    Parameters
    ----------
    mean
        Over all cells.
    sd
        Standard deviation over all cells; None for a single one.
    se
        Standard error of the mean; None when there is nothing to tell it by. Seeds on one fold share their test
        spectra and are no independent trials of them, so with several folds it is the standard error over the folds'
        means. On a single test part it is that over seeds, and knows of the training's chance only.
    n
        Number of cells.
    """

    mean: float
    sd: float | None
    se: float | None
    n: int

    @classmethod
    def of(cls, values: Mapping[Place, float]) -> Self:
        """Summarise at least one value."""
        numbers = np.array(list(values.values()), dtype=float)
        folds: dict[int | None, list[float]] = {}
        for (_, fold), value in values.items():
            folds.setdefault(fold, []).append(value)
        units = np.array([np.mean(group) for group in folds.values()]) if len(folds) > 1 else numbers
        return cls(
            mean=float(numbers.mean()),
            sd=float(numbers.std(ddof=1)) if len(numbers) > 1 else None,
            se=float(units.std(ddof=1) / np.sqrt(len(units))) if len(units) > 1 else None,
            n=len(numbers),
        )
