"""What every spectrometer can do, and the registry of drivers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

from numpy.typing import NDArray

from device.spectrometers.settings import SpectrometerSettings
from specnet.errors import ConfigurationError, SpectrometerError


class SpectrometerLostError(SpectrometerError):
    """The connection is gone: unplugged, or dead. Close and open again."""


class EndOfSpectraError(SpectrometerError):
    """A replayed recording is over; a real instrument never says this."""


class Spectrometer(Protocol):
    """A spectrometer, in the words of python-seabreeze."""

    @property
    def model(self) -> str:
        """Name of the model."""

    @property
    def serial_number(self) -> str:
        """Serial number, or the port where the instrument has none."""

    @property
    def n_points(self) -> int:
        """Number of pixels."""

    @property
    def counters(self) -> Mapping[str, int]:
        """What went wrong so far, by kind."""

    def open(self) -> None:
        """Connect and set the integration time; `SpectrometerError` when nobody answers."""

    def close(self) -> None:
        """Disconnect; harmless when not connected."""

    def set_integration_time(self, seconds: float) -> None:
        """Set the exposure of the spectra that follow."""

    def intensities(self) -> NDArray[Any]:
        """Read one spectrum, ADC counts ``(n_points,)``.

        Raises
        ------
        SpectrumError
            The line has another number of points; ask again.
        SpectrometerError
            Garbage, a refusal or no answer in time; ask again.
        SpectrometerLostError
            Unplugged: close and open again.
        EndOfSpectraError
            A replay is over.
        """


Factory = Callable[[SpectrometerSettings, int], Spectrometer]
F = TypeVar("F", bound=Factory)
_drivers: dict[str, Factory] = {}


def register_spectrometer(name: str) -> Callable[[F], F]:
    """Register a driver: a callable ``(settings, n_points) -> Spectrometer``."""

    def register(factory: F) -> F:
        _drivers[name] = factory
        return factory

    return register


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
    if settings.driver not in _drivers:
        known = ", ".join(list_spectrometers())
        raise ConfigurationError(f"unknown spectrometer driver {settings.driver!r}; known: {known}")
    return _drivers[settings.driver](settings, n_points)
