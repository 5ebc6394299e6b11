"""The mean of several scans, and how much they differ."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray


class ScanAverage:
    """Adds up scans ``(n_points,)`` without keeping them (B. P. Welford, Technometrics 4, 419, 1962).

    Parameters
    ----------
    n_points
        Length of a scan.
    """

    def __init__(self, n_points: int) -> None:
        self._mean = np.zeros(n_points)
        self._squares = np.zeros(n_points)
        self.scans = 0

    def add(self, scan: NDArray[Any]) -> None:
        """Take one more scan."""
        self.scans += 1
        difference = scan - self._mean
        self._mean += difference / self.scans
        self._squares += difference * (scan - self._mean)

    @property
    def mean(self) -> NDArray[np.float64]:
        """Mean of the scans ``(n_points,)``."""
        return self._mean.copy()

    @property
    def noise(self) -> NDArray[np.float64]:
        """Standard deviation between scans ``(n_points,)``; NaN with fewer than two."""
        if self.scans < 2:
            return np.full_like(self._mean, math.nan)
        return np.sqrt(self._squares / (self.scans - 1))
