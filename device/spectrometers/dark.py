"""Dark spectra and which of them fits an exposure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MAX_STRETCH = 2.0
"""A line through dark spectra is followed up to so many times the longest of their exposures."""


@dataclass(frozen=True, eq=False)
class DarkFrame:
    """The mean of several scans without light.

    Parameters
    ----------
    integration_us
        Exposure in microseconds.
    counts
        Mean ``(n_points,)``.
    noise
        Standard deviation between scans ``(n_points,)``; NaN with one scan.
    scans
        Number of scans.
    temperature_c
        Temperature of the detector; None where the instrument does not tell it.
    """

    integration_us: int
    counts: NDArray[np.float64]
    noise: NDArray[np.float64]
    scans: int
    temperature_c: float | None = None


@dataclass(frozen=True, eq=False)
class FittingDark:
    """Counts ``(n_points,)`` to subtract, and whether they were calculated instead of measured."""

    counts: NDArray[np.float64]
    scaled: bool


class DarkLibrary:
    """Dark spectra of one instrument, at most one for each exposure.

    Parameters
    ----------
    frames
        Of the same length.
    tolerance
        A frame fits as it is when its exposure differs by no more than this share.
    max_kelvin
        Largest difference of temperature, where both are known; frames beyond it are as good as absent.
    """

    def __init__(self, frames: Sequence[DarkFrame], *, tolerance: float, max_kelvin: float) -> None:
        self.frames = tuple(sorted(frames, key=lambda frame: frame.integration_us))
        self._tolerance = tolerance
        self._max_kelvin = max_kelvin

    def fitting(self, integration_us: int, temperature_c: float | None = None) -> FittingDark | None:
        """Give the dark spectrum for an exposure; None when none fits.

        A frame of the same exposure is taken as it is. Otherwise dark counts are offset plus dark current times
        exposure in each pixel, which two frames of different exposures determine (least squares with more); the line is
        followed to no more than twice the longest exposure. From one frame alone nothing is calculated, because nobody
        knows how much of it is offset.
        """
        frames = [frame for frame in self.frames if self._is_near(frame.temperature_c, temperature_c)]
        if not frames:
            return None
        nearest = min(frames, key=lambda frame: abs(frame.integration_us - integration_us))
        if abs(nearest.integration_us - integration_us) <= self._tolerance * integration_us:
            return FittingDark(nearest.counts, scaled=False)
        exposures = np.array([frame.integration_us for frame in frames], dtype=np.float64)
        if len(np.unique(exposures)) < 2 or integration_us > MAX_STRETCH * exposures.max():
            return None
        counts = np.stack([frame.counts for frame in frames])
        centred = exposures - exposures.mean()
        slope = centred @ counts / (centred @ centred)
        return FittingDark(counts.mean(axis=0) + slope * (integration_us - exposures.mean()), scaled=True)

    def offset(self, pixel: int, integration_us: int, temperature_c: float | None = None) -> float:
        """Give the counts of a pixel without light; 0 when no frame fits."""
        fitting = self.fitting(integration_us, temperature_c)
        return 0.0 if fitting is None else float(fitting.counts[pixel])

    def _is_near(self, there: float | None, here: float | None) -> bool:
        return there is None or here is None or abs(there - here) <= self._max_kelvin
