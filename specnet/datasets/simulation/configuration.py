"""What to simulate."""

from __future__ import annotations

from dataclasses import dataclass

from specnet.datasets.simulation.limits import check_lowest, check_range
from specnet.datasets.simulation.procedural import ProceduralConfig
from specnet.errors import ConfigurationError
from specnet.spectra import MAX_POINTS

MAX_SPECTRA = 2_000_000
MAX_INSTRUMENTS = 10_000


@dataclass(frozen=True, kw_only=True)
class SimulationConfig:
    """A simulated data set.

    Attributes
    ----------
    substances
        How random substances are made; None for the published minerals.
    spectra_per_class
        Spectra of each substance.
    spectra_per_sample
        Spots measured on one physical sample. Spectra of a sample share composition and disorder, and stay together in
        the split.
    n_classes
        How many substances. Minerals are taken evenly from the whole table, all of them when None; the choice does not
        depend on the seed, so that two files of the same number have the same classes. Random ones do depend on it.
    n_points, axis_range
        The nominal axis, Raman shift in 1/cm.
    n_instruments
        Spectrometers; each spectrum is taken with one of them. None gives each spectrum one of its own.
    test_instruments
        How many of them, the last ones, take the whole test part and nothing else. With 0 any instrument takes any
        spectrum.
    offset_cm, stretch_cm, bend_cm, drift_cm
        Largest calibration error of an instrument at the middle, in addition at the ends of the axis, in addition as a
        smooth curve in between, and standard deviation of the drift from spectrum to spectrum, 1/cm.
    resolution_cm
        Range of the instruments' resolution (FWHM), 1/cm.
    signal_electrons
        Range of the photo-electrons at the strongest Raman band, drawn log-uniformly.
    fluorescence_ratio
        Range of the highest point of the fluorescence over that of the strongest band, drawn log-uniformly.
    dispersive_share
        Share of spectra with derivative-like shapes in their background, see
        `specnet.datasets.simulation.background.dispersion`.
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

    substances: ProceduralConfig | None = None
    spectra_per_class: int = 200
    spectra_per_sample: int = 4
    n_classes: int | None = None
    n_points: int = 1000
    axis_range: tuple[float, float] = (100.0, 1500.0)
    n_instruments: int | None = 12
    test_instruments: int = 0
    offset_cm: float = 6.0
    stretch_cm: float = 3.0
    bend_cm: float = 0.0
    drift_cm: float = 0.8
    resolution_cm: tuple[float, float] = (4.0, 8.0)
    signal_electrons: tuple[float, float] = (60.0, 6_000.0)
    fluorescence_ratio: tuple[float, float] = (0.1, 6.0)
    dispersive_share: float = 0.0
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
            check_lowest(name, getattr(self, name), lowest)
        if self.n_classes is not None:
            check_lowest("n_classes", self.n_classes, 2)
        elif self.substances is not None:
            raise ConfigurationError("n_classes says how many random substances to make, got None")
        if self.n_points > MAX_POINTS:
            raise ConfigurationError(f"n_points is at most {MAX_POINTS}, got {self.n_points}")
        for name in ("mixture_share", "family_share", "dispersive_share"):
            check_range(name, (getattr(self, name), getattr(self, name)), 0.0, 1.0)
        for name, (lowest, highest) in _RANGES.items():
            check_range(name, getattr(self, name), lowest, highest)
        if self.axis_range[0] >= self.axis_range[1]:
            raise ConfigurationError(f"axis_range is ascending, got {self.axis_range}")
        self._check_instruments()

    def _check_instruments(self) -> None:
        if self.n_instruments is None:
            if self.test_instruments:
                raise ConfigurationError(
                    f"test_instruments is 0 when every spectrum has its own instrument, got {self.test_instruments}"
                )
            return
        check_range("n_instruments", (self.n_instruments, self.n_instruments), 1, MAX_INSTRUMENTS)
        if self.test_instruments >= self.n_instruments:
            raise ConfigurationError(
                f"test_instruments is below n_instruments ({self.n_instruments}), got {self.test_instruments}"
            )

    @property
    def samples_per_class(self) -> int:
        """Physical samples of each substance."""
        return -(-self.spectra_per_class // self.spectra_per_sample)


_LOWEST: dict[str, float] = {
    "spectra_per_class": 1,
    "spectra_per_sample": 1,
    "n_points": 16,
    "test_instruments": 0,
    "seed": 0,
    "offset_cm": 0,
    "stretch_cm": 0,
    "bend_cm": 0,
    "drift_cm": 0,
    "shift_cm": 0,
    "width_spread": 0,
    "disorder_cm": 0,
    "orientation": 0,
    "cosmic_rays": 0,
}

# a secondary share of one half or more would put another substance before the labelled one
_RANGES: dict[str, tuple[float, float]] = {
    "axis_range": (0.0, 5000.0),
    "resolution_cm": (0.0, 200.0),
    "signal_electrons": (1.0, 1e6),
    "fluorescence_ratio": (1e-6, 1e3),
    "mixture_range": (0.0, 0.499),
}
