"""What is known against a spectrum."""

from __future__ import annotations

from enum import IntFlag

import numpy as np
from numpy.typing import ArrayLike


class Quality(IntFlag):
    """Flags of a spectrum; `UNUSABLE` are those that forbid to classify it."""

    SATURATED = 1
    """A pixel reached full scale in one of the scans."""
    LOW_SIGNAL = 2
    """Highest and lowest points differ by less than the settings ask for."""
    NO_DARK = 4
    """A dark spectrum was to be subtracted and none fits."""
    WRONG_AXIS = 8
    """The instrument's own wavelengths are not those that the settings or the bundle have."""
    DARK_SCALED = 16
    """The dark spectrum was calculated for this exposure from others."""
    PIXELS_REPAIRED = 32
    """Dead or hot pixels were interpolated."""
    EXPOSURE_AT_LIMIT = 64
    """Automatic exposure would need one that the instrument or the settings do not allow."""
    EXPOSURE_CHANGING = 128
    """The next spectrum will have another exposure."""

    @property
    def names(self) -> list[str]:
        """Names of the flags that are set, in lower case."""
        if not self:  # nearly all spectra, and asked for each of them
            return []
        return [flag.name.lower() for flag in Quality if flag in self and flag.name is not None]

    @property
    def usable(self) -> bool:
        """Whether the spectrum may be classified."""
        return not self.against_use

    @property
    def against_use(self) -> Quality:
        """Those that are set and forbid to classify it."""
        return self & UNUSABLE


UNUSABLE = Quality.SATURATED | Quality.LOW_SIGNAL | Quality.NO_DARK | Quality.WRONG_AXIS


def judge_saturation(scan: ArrayLike, full_scale: float) -> Quality:
    """`SATURATED` when a point of a raw scan ``(n_points,)`` reaches full scale; 0 switches the check off."""
    return Quality.SATURATED if full_scale and float(np.max(scan)) >= full_scale else Quality(0)


def judge_signal(counts: ArrayLike, min_signal: float) -> Quality:
    """`LOW_SIGNAL` when the range of a finished spectrum ``(n_points,)`` is too small; 0 switches the check off."""
    return Quality.LOW_SIGNAL if min_signal and float(np.ptp(counts)) < min_signal else Quality(0)
