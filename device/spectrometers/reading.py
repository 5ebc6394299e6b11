"""One spectrum and what is known about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from device.spectrometers.quality import Quality


@dataclass(frozen=True, eq=False)
class Reading:
    """What `Instrument.read` gives.

    Parameters
    ----------
    counts
        Spectrum ``(n_points,)`` in the order of the pixels: averaged, dark subtracted and repaired as the settings say;
        the driver's own whole numbers where they say nothing of all that.
    flags
        What is known against it; never classify one that is not `Quality.usable`.
    integration_us
        Exposure of one scan, in microseconds.
    scans
        Scans that were averaged.
    highest_raw
        Highest point of all raw scans, in counts: how near to saturation it was.
    temperature_c
        Temperature of the detector; None where the instrument does not tell it.
    """

    counts: NDArray[Any]
    flags: Quality
    integration_us: int
    scans: int
    highest_raw: float
    temperature_c: float | None = None

    @property
    def usable(self) -> bool:
        """Whether it may be classified."""
        return self.flags.usable
