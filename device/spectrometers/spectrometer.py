"""What every spectrometer can do, and the registry of drivers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from device.spectrometers.settings import SpectrometerSettings
from specnet.errors import ConfigurationError, SpectrometerError
from specnet.registry import Registry
from specnet.spectra import SpectralAxis


class SpectrometerLostError(SpectrometerError):
    """The connection is gone: unplugged, or dead. Close and open again."""


class EndOfSpectraError(SpectrometerError):
    """A replayed recording is over; a real instrument never says this."""


class Spectrometer(Protocol):
    """A spectrometer, in the words of python-seabreeze (https://python-seabreeze.readthedocs.io)."""

    @property
    def model(self) -> str:
        """Name of the model."""

    @property
    def serial_number(self) -> str:
        """Serial number, or the port where the instrument has none."""

    @property
    def pixels(self) -> int:
        """Number of pixels."""

    @property
    def max_intensity(self) -> float:
        """Highest value that a pixel can have."""

    @property
    def integration_time_micros_limits(self) -> tuple[int, int]:
        """Shortest and longest exposure, in microseconds."""

    @property
    def exposure_micros(self) -> int:
        """Exposure in force, in microseconds: the one set last, rounded to what the instrument can do."""

    @property
    def counters(self) -> Mapping[str, int]:
        """What went wrong so far, by kind."""

    def open(self) -> None:
        """Connect and set the integration time; `SpectrometerError` when nobody answers."""

    def close(self) -> None:
        """Disconnect; harmless when not connected."""

    def integration_time_micros(self, integration_time_micros: int) -> None:
        """Set the exposure of the spectra that follow, in microseconds."""

    def wavelengths(self) -> NDArray[np.float64] | None:
        """Wavelengths of the pixels ``(n_points,)`` in nm as the open instrument tells them; None when it does not."""

    def temperature_c(self) -> float | None:
        """Temperature of the detector or its board in degrees Celsius; None when the instrument does not tell it."""

    def intensities(self, correct_dark_counts: bool = False, correct_nonlinearity: bool = False) -> NDArray[Any]:
        """Read one spectrum, ADC counts ``(n_points,)``.

        Raises
        ------
        SpectrumError
            The spectrum has another number of points; ask again.
        SpectrometerError
            Garbage, a refusal or no answer in time; ask again. Also when a correction is asked for whose pixels or
            coefficients are unknown.
        SpectrometerLostError
            Unplugged: close and open again.
        EndOfSpectraError
            A replay is over.
        """

    def corrected(
        self, counts: NDArray[Any], correct_dark_counts: bool, correct_nonlinearity: bool
    ) -> NDArray[np.float64]:
        """Correct raw counts ``(n_points,)`` afterwards, once they have been judged.

        Raises
        ------
        SpectrometerError
            When the pixels or coefficients for it are unknown.
        """


Factory = Callable[[SpectrometerSettings, int], Spectrometer]
_drivers: Registry[Factory] = Registry("spectrometer driver", ConfigurationError)
register_spectrometer = _drivers.register


def list_spectrometers() -> list[str]:
    """Names of all drivers."""
    return sorted(_drivers)


def create_spectrometer(settings: SpectrometerSettings, n_points: int) -> Spectrometer:
    """Make the spectrometer that the settings name, not yet open.

    Raises
    ------
    ConfigurationError
        When no driver has this name.
    """
    return _factory(settings)(settings, n_points)


def known_axis(settings: SpectrometerSettings) -> SpectralAxis | None:
    """Axis that the driver knows without its instrument, by its static method `known_axis`; None when it has none.

    Raises
    ------
    ConfigurationError
        When no driver has this name, or its definition is faulty.
    """
    find: Callable[[SpectrometerSettings], SpectralAxis | None] | None
    find = getattr(_factory(settings), "known_axis", None)
    return None if find is None else find(settings)


def _factory(settings: SpectrometerSettings) -> Factory:
    return _drivers.find(settings.driver)
