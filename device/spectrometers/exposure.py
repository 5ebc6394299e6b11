"""Automatic exposure: the highest point of a spectrum is kept within a band below saturation."""

from __future__ import annotations

import math
from dataclasses import dataclass

from device.spectrometers.settings import ExposureSettings


@dataclass(frozen=True)
class ExposureStep:
    """What to do next: exposure in microseconds, and whether a better one would be out of bounds."""

    micros: int
    at_limit: bool


class AutoExposure:
    """A controller with a dead band.

    Counts are taken to be an offset plus something in proportion to the exposure. Inside the band nothing changes. A
    spectrum that is too bright shortens the exposure at once; only several in a row that are too dark lengthen it, so
    that a dark object between two bright ones changes nothing. The aim is the middle of the band (its geometric mean),
    as far away from both edges as can be, and every step is bounded: noise of less than the band's half width can
    therefore not make the exposure swing.

    Parameters
    ----------
    settings
        Band, largest step, patience and bounds.
    full_scale
        Counts at which a pixel is saturated.
    limits
        Shortest and longest exposure of the instrument, in microseconds.
    """

    def __init__(self, settings: ExposureSettings, full_scale: float, limits: tuple[int, int]) -> None:
        self._settings = settings
        self._full_scale = full_scale
        self._low = max(limits[0], math.ceil(settings.min_s * 1e6))
        self._high = max(self._low, min(limits[1], math.floor(settings.max_s * 1e6)))
        self._dark_in_a_row = 0

    def clamp(self, micros: int) -> int:
        """Bring an exposure within the bounds."""
        return min(max(micros, self._low), self._high)

    def next(self, micros: int, highest: float, offset: float = 0.0) -> ExposureStep:
        """Say which exposure the next spectrum should have.

        Parameters
        ----------
        micros
            Exposure of the spectrum, in microseconds.
        highest
            Its highest raw point, in counts.
        offset
            Counts of that point without light and exposure, where a dark spectrum tells it.
        """
        low, high = self._settings.low * self._full_scale, self._settings.high * self._full_scale
        if low <= highest <= high:
            self._dark_in_a_row = 0
            return ExposureStep(self.clamp(micros), at_limit=False)
        if highest < low:
            self._dark_in_a_row += 1
            if self._dark_in_a_row < self._settings.patience:
                return ExposureStep(self.clamp(micros), at_limit=micros >= self._high)
        self._dark_in_a_row = 0
        step = self._settings.max_step
        target, signal = math.sqrt(low * high) - offset, highest - offset
        if highest >= self._full_scale:
            factor = 1 / step  # how much brighter it really was is unknown
        elif signal <= 0 or target <= 0:
            factor = step if highest < low else 1 / step
        else:
            factor = min(max(target / signal, 1 / step), step)
        wanted = round(micros * factor)
        if wanted == micros:
            wanted += 1 if highest < low else -1
        return ExposureStep(self.clamp(wanted), at_limit=self.clamp(wanted) == self.clamp(micros))
