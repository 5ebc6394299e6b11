"""Dead and hot pixels: found in dark spectra, and filled in from their neighbours."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from specnet.errors import ConfigurationError

HOT_SIGMAS = 12.0
MIN_SCANS_FOR_DEAD = 8
MAX_SHARE = 0.1
_MAD_TO_SIGMA = 1.4826
_NEIGHBOURS = 5


class BadPixels:
    """Pixels whose values are replaced by a straight line between their nearest good neighbours.

    Parameters
    ----------
    pixels
        Their positions, counted from 0.
    n_points
        Length of a spectrum.

    Raises
    ------
    ConfigurationError
        When a position is outside the spectrum, or no two pixels are good.
    """

    def __init__(self, pixels: Iterable[int], n_points: int) -> None:
        self.pixels = tuple(sorted(set(pixels)))
        if self.pixels and (self.pixels[0] < 0 or self.pixels[-1] >= n_points):
            raise ConfigurationError(f"bad pixels are from 0 to {n_points - 1}, got {self.pixels[:20]}")
        if n_points - len(self.pixels) < 2:
            raise ConfigurationError(f"{len(self.pixels)} of {n_points} pixels are bad, at least two must be good")
        self._bad = np.array(self.pixels, dtype=np.intp)
        self.good = np.setdiff1d(np.arange(n_points), self._bad)

    def repair(self, counts: ArrayLike) -> NDArray[np.float64]:
        """Give a copy of the spectrum ``(n_points,)`` with the bad pixels filled in."""
        repaired = np.array(counts, dtype=np.float64)
        repaired[self._bad] = np.interp(self._bad, self.good, repaired[self.good])
        return repaired


def find_bad_pixels(dark: ArrayLike, noise: ArrayLike, scans: int) -> tuple[int, ...]:
    """Find hot and dead pixels in a dark spectrum.

    Hot ones stand out over the median of their neighbourhood by many robust standard deviations; dead ones do not
    change at all from scan to scan while the others do.

    Parameters
    ----------
    dark
        Mean of the scans ``(n_points,)``.
    noise
        Standard deviation between them ``(n_points,)``; NaN when there was only one scan.
    scans
        Number of scans.

    Returns
    -------
    tuple of int
        Positions; none when more than a tenth would be bad, because it is then the spectrum that is no dark one.
    """
    dark, noise = np.asarray(dark, dtype=np.float64), np.asarray(noise, dtype=np.float64)
    padded = np.pad(dark, _NEIGHBOURS, mode="reflect" if len(dark) > _NEIGHBOURS else "edge")
    neighbourhood = np.lib.stride_tricks.sliding_window_view(padded, 2 * _NEIGHBOURS + 1)
    residual = dark - np.median(neighbourhood, axis=1)
    # a quantised detector may have no spread at all: half a count is then the least that can be told
    sigma = max(_MAD_TO_SIGMA * float(np.median(np.abs(residual - np.median(residual)))), 0.5)
    bad = residual > HOT_SIGMAS * sigma
    if scans >= MIN_SCANS_FOR_DEAD and np.isfinite(noise).all() and float(np.median(noise)) > 0:
        bad |= noise == 0
    found = tuple(int(pixel) for pixel in np.flatnonzero(bad))
    return found if len(found) <= MAX_SHARE * len(dark) else ()
