"""A measured distribution, small enough for a file and exact enough to draw from."""

from __future__ import annotations

from itertools import pairwise
from typing import Self

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from specnet.errors import ProfileError

PROBABILITIES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
LARGEST = 1e12
"""Larger values are mistakes: in microseconds these are eleven days."""


class Quantiles(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Values below which 1, 5, 10, 25, 50, 75, 90, 95 and 99 per cent of the samples lie.

    Between them the quantile function is linear; beyond the first and the last it is held, so that nothing is drawn
    that lies outside of what was measured.

    Parameters
    ----------
    values
        One value for each of `PROBABILITIES`, not negative and ascending; the unit is in the name of the field.

    Raises
    ------
    ProfileError
        When number, range or order of the values is wrong.
    """

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.values) != len(PROBABILITIES):
            raise ProfileError(f"quantiles have {len(PROBABILITIES)} values, got {len(self.values)}")
        for value in self.values:
            # written so that NaN fails too
            if not 0 <= value <= LARGEST:
                raise ProfileError(f"values of quantiles are from 0 to {LARGEST:g}, got {value!r}")
        for before, after in pairwise(self.values):
            if before > after:
                raise ProfileError(f"values of quantiles ascend, got {before!r} before {after!r}")

    @classmethod
    def of(cls, samples: ArrayLike) -> Self:
        """Summarise samples; `ProfileError` when there are none, or one is negative or not finite."""
        array = np.asarray(samples, dtype=np.float64).ravel()
        if not array.size:
            raise ProfileError("quantiles need at least 1 sample, got 0")
        bad = ~((array >= 0) & (array <= LARGEST))
        if bad.any():
            raise ProfileError(f"samples are from 0 to {LARGEST:g}, got {float(array[bad][0])!r}")
        # interpolation may round a hair out of order
        values = np.maximum.accumulate(np.quantile(array, PROBABILITIES))
        return cls(tuple(float(value) for value in np.clip(values, array.min(), array.max())))

    @classmethod
    def constant(cls, value: float) -> Self:
        """Give the distribution of a value that is always the same."""
        return cls((float(value),) * len(PROBABILITIES))

    def sample(self, rng: np.random.Generator, n: int) -> NDArray[np.float64]:
        """Draw ``(n,)`` values."""
        return self.at(rng.random(n))

    def at(self, places: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values at places ``(n,)`` from 0 to 1 of the distribution."""
        return np.interp(places, PROBABILITIES, self.values)

    @property
    def p50(self) -> float:
        """Median."""
        return self.values[PROBABILITIES.index(0.5)]

    @property
    def p95(self) -> float:
        """Value that one sample in twenty exceeds."""
        return self.values[PROBABILITIES.index(0.95)]

    @property
    def mean(self) -> float:
        """Mean of what `sample` draws."""
        points = (0.0, *PROBABILITIES, 1.0)
        values = (self.values[0], *self.values, self.values[-1])
        pieces = zip(pairwise(points), pairwise(values), strict=True)
        return sum((q - p) * (a + b) / 2 for (p, q), (a, b) in pieces)
