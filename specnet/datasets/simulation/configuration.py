"""What to simulate, and three presets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from specnet.errors import ConfigurationError
from specnet.spectra import MAX_POINTS

MAX_SPECTRA = 2_000_000


@dataclass(frozen=True, kw_only=True)
class SimulationConfig:
    """A simulated data set.

    Attributes
    ----------
    spectra_per_class
        Spectra of each mineral.
    spectra_per_sample
        Spots measured on one physical sample. Spectra of a sample share composition and disorder, and stay together in
        the split.
    n_classes
        How many minerals, taken evenly from the whole table; all of them when None. The choice does not depend on the
        seed, so that two files of the same number have the same classes.
    n_points, axis_range
        The nominal axis, Raman shift in 1/cm.
    n_instruments
        Spectrometers; each spectrum is taken with one of them.
    offset_cm, stretch_cm, drift_cm
        Largest calibration error of an instrument at the middle and in addition at the ends of the axis, and standard
        deviation of the drift from spectrum to spectrum, 1/cm.
    resolution_cm
        Range of the instruments' resolution (FWHM), 1/cm.
    signal_electrons
        Range of the photo-electrons at the strongest Raman band, drawn log-uniformly.
    fluorescence_ratio
        Range of the highest point of the fluorescence over that of the strongest band, drawn log-uniformly.
    mixture_share, mixture_range, family_share
        See `specnet.datasets.simulation.mixtures.draw_mixing`.
    shift_cm, width_spread, disorder_cm, orientation
        See `specnet.datasets.simulation.samples.Variation`.
    cosmic_rays
        Mean number of cosmic rays per spectrum.
    seed
        Everything is drawn from it.

    Raises
    ------
    ConfigurationError
        When a value is out of its range.
    """

    spectra_per_class: int = 200
    spectra_per_sample: int = 4
    n_classes: int | None = None
    n_points: int = 1000
    axis_range: tuple[float, float] = (100.0, 1500.0)
    n_instruments: int = 12
    offset_cm: float = 6.0
    stretch_cm: float = 3.0
    drift_cm: float = 0.8
    resolution_cm: tuple[float, float] = (4.0, 8.0)
    signal_electrons: tuple[float, float] = (60.0, 6_000.0)
    fluorescence_ratio: tuple[float, float] = (0.1, 6.0)
    mixture_share: float = 0.4
    mixture_range: tuple[float, float] = (0.1, 0.45)
    family_share: float = 0.6
    shift_cm: float = 1.0
    width_spread: float = 0.12
    disorder_cm: float = 2.0
    orientation: float = 0.4
    cosmic_rays: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        for name, lowest in _LOWEST.items():
            value = getattr(self, name)
            if not (np.isfinite(value) and value >= lowest):
                raise ConfigurationError(f"{name} is at least {lowest}, got {value}")
        if self.n_classes is not None and self.n_classes < 2:
            raise ConfigurationError(f"n_classes is at least 2, got {self.n_classes}")
        if self.n_points > MAX_POINTS:
            raise ConfigurationError(f"n_points is at most {MAX_POINTS}, got {self.n_points}")
        for name in ("mixture_share", "family_share"):
            _check_range(name, (getattr(self, name), getattr(self, name)), 0.0, 1.0)
        for name, (lowest, highest) in _RANGES.items():
            _check_range(name, getattr(self, name), lowest, highest)
        if self.axis_range[0] >= self.axis_range[1]:
            raise ConfigurationError(f"axis_range is ascending, got {self.axis_range}")

    @property
    def samples_per_class(self) -> int:
        """Physical samples of each mineral."""
        return -(-self.spectra_per_class // self.spectra_per_sample)


_LOWEST: dict[str, float] = {
    "spectra_per_class": 1,
    "spectra_per_sample": 1,
    "n_points": 16,
    "n_instruments": 1,
    "seed": 0,
    "offset_cm": 0,
    "stretch_cm": 0,
    "drift_cm": 0,
    "shift_cm": 0,
    "width_spread": 0,
    "disorder_cm": 0,
    "orientation": 0,
    "cosmic_rays": 0,
}

# a secondary share of one half or more would put another mineral before the labelled one
_RANGES: dict[str, tuple[float, float]] = {
    "axis_range": (0.0, 5000.0),
    "resolution_cm": (0.0, 200.0),
    "signal_electrons": (1.0, 1e6),
    "fluorescence_ratio": (1e-6, 1e3),
    "mixture_range": (0.0, 0.499),
}


def _check_range(name: str, values: tuple[float, float], lowest: float, highest: float) -> None:
    if not (lowest <= values[0] <= values[1] <= highest):
        got = values[0] if values[0] == values[1] else f"{values[0]} to {values[1]}"
        raise ConfigurationError(f"{name} is within {lowest:g} to {highest:g} in ascending order, got {got}")


PRESETS: dict[str, SimulationConfig] = {
    "easy": SimulationConfig(
        offset_cm=1.0,
        stretch_cm=0.5,
        drift_cm=0.1,
        resolution_cm=(4.0, 6.0),
        signal_electrons=(2_000.0, 20_000.0),
        fluorescence_ratio=(0.05, 0.5),
        mixture_share=0.0,
        shift_cm=0.5,
        orientation=0.3,
        cosmic_rays=0.05,
    ),
    "demo": SimulationConfig(),
    "hard": SimulationConfig(
        offset_cm=8.0,
        stretch_cm=4.0,
        drift_cm=1.0,
        resolution_cm=(6.0, 14.0),
        signal_electrons=(60.0, 3_000.0),
        fluorescence_ratio=(0.3, 10.0),
        mixture_share=0.7,
        mixture_range=(0.2, 0.48),
        family_share=0.7,
        shift_cm=1.5,
        orientation=0.6,
        cosmic_rays=1.0,
    ),
}
"""``easy``: clean spectra of single minerals. ``demo``: mostly easy with a share that is not (mixtures, weak signal,
strong fluorescence, instruments off by several 1/cm), where depth pays: a linear classifier is right less often than a
network. ``hard``: the same minerals, most spectra mixed, noisy and displaced."""
