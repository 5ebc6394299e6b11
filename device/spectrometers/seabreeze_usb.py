"""Adapter for python-seabreeze: Ocean Optics' instruments on USB, where that package is installed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.spectrometers.corrections import correct_detector
from device.spectrometers.settings import SpectrometerSettings
from device.spectrometers.spectrometer import SpectrometerLostError, register_spectrometer
from specnet.errors import ConfigurationError, SpectrometerError, SpectrumError

FIRST = ("", "first")


@register_spectrometer("seabreeze")
class SeabreezeSpectrometer:
    """An instrument that python-seabreeze (https://python-seabreeze.readthedocs.io) drives.

    Whatever that package raises while reading means that the instrument must be opened again: after a USB error its own
    state is unknown.

    Parameters
    ----------
    settings
        `port` is the serial number, or ``first`` for the first instrument that nobody has opened; exposure.
    n_points
        Number of values that a spectrum must have.

    Raises
    ------
    ConfigurationError
        When the package is not installed.
    """

    def __init__(self, settings: SpectrometerSettings, n_points: int) -> None:
        self._library = _load()
        self._settings = settings
        self._n_points = n_points
        self._instrument: Any = None
        self._integration_us = round(settings.integration_time_s * 1e6)
        self._counters: Counter[str] = Counter()

    @property
    def model(self) -> str:
        """Name of the model, once the instrument is open."""
        return "seabreeze" if self._instrument is None else str(self._instrument.model)

    @property
    def serial_number(self) -> str:
        """Serial number, or what the settings say before the instrument is open."""
        return self._settings.port if self._instrument is None else str(self._instrument.serial_number)

    @property
    def pixels(self) -> int:
        """Number of values of a spectrum."""
        return self._n_points

    @property
    def max_intensity(self) -> float:
        """Highest value that a pixel can have, as the open instrument says."""
        return float(self._opened().max_intensity)

    @property
    def integration_time_micros_limits(self) -> tuple[int, int]:
        """Shortest and longest exposure in microseconds, as the open instrument says."""
        low, high = self._opened().integration_time_micros_limits
        return int(low), int(high)

    @property
    def exposure_micros(self) -> int:
        """Exposure in force, in microseconds."""
        return self._integration_us

    @property
    def counters(self) -> Mapping[str, int]:
        """How often the package failed or a spectrum had another number of points."""
        return MappingProxyType(self._counters)

    def open(self) -> None:
        """Find the instrument, open it and set the exposure."""
        self.close()
        port = self._settings.port
        try:
            kind = self._library.Spectrometer
            self._instrument = kind.from_first_available() if port in FIRST else kind.from_serial_number(port)
        except Exception as error:
            raise self._lost("cannot be opened", error) from error
        if int(self._instrument.pixels) != self._n_points:
            found = int(self._instrument.pixels)
            self.close()
            raise SpectrumError(f"the spectrometer has {found} pixels, expected {self._n_points}")
        self.integration_time_micros(self._integration_us)

    def close(self) -> None:
        """Disconnect."""
        instrument, self._instrument = self._instrument, None
        if instrument is not None:
            try:
                instrument.close()
            except Exception:
                # gone already: there is nobody left to say goodbye to
                self._counters["failed_closing"] += 1

    def integration_time_micros(self, integration_time_micros: int) -> None:
        """Set the exposure in microseconds; `SpectrometerError` when it is out of range."""
        low, high = self.integration_time_micros_limits
        if not low <= integration_time_micros <= high:
            raise SpectrometerError(
                f"integration time of {self.model} is from {low} to {high} us, got {integration_time_micros}"
            )
        try:
            self._opened().integration_time_micros(integration_time_micros)
        except Exception as error:
            raise self._lost("does not take the exposure", error) from error
        self._integration_us = integration_time_micros

    def wavelengths(self) -> NDArray[np.float64] | None:
        """Wavelengths ``(n_points,)`` in nm."""
        return np.asarray(self._opened().wavelengths(), dtype=np.float64)

    def temperature_c(self) -> float | None:
        """None: not every instrument has a thermometer, and the package has no common way to read it."""
        return None

    def intensities(self, correct_dark_counts: bool = False, correct_nonlinearity: bool = False) -> NDArray[np.float64]:
        """Read one spectrum, counts ``(n_points,)``; errors as in `Spectrometer.intensities`."""
        try:
            values = np.asarray(self._opened().intensities(), dtype=np.float64)
        except Exception as error:
            raise self._lost("cannot be read", error) from error
        if values.shape != (self._n_points,):
            self._counters["wrong_length"] += 1
            raise SpectrumError(f"the spectrometer gave an array {values.shape}, expected ({self._n_points},)")
        if correct_dark_counts or correct_nonlinearity:
            return self.corrected(values, correct_dark_counts, correct_nonlinearity)
        return values

    def corrected(
        self, counts: NDArray[Any], correct_dark_counts: bool, correct_nonlinearity: bool
    ) -> NDArray[np.float64]:
        """Correct raw counts ``(n_points,)`` with what the instrument's memory holds; see `correct_detector`.

        It is done here and not in the package, because a corrected spectrum no longer shows that it was saturated.
        """
        features = self._opened().f
        try:
            black = list(self._settings.dark_pixels or features.spectrometer.get_electric_dark_pixel_indices())
            coefficients = features.nonlinearity_coefficients
            polynomial = () if coefficients is None else tuple(coefficients.get_nonlinearity_coefficients())
        except Exception as error:
            raise self._lost("does not tell its corrections", error) from error
        return correct_detector(
            counts,
            dark_pixels=black,
            nonlinearity=polynomial if correct_nonlinearity else (),
            correct_dark_counts=correct_dark_counts,
            correct_nonlinearity=correct_nonlinearity,
        )

    def _opened(self) -> Any:
        if self._instrument is None:
            raise SpectrometerLostError("the spectrometer is not open")
        return self._instrument

    def _lost(self, what: str, error: Exception) -> SpectrometerLostError:
        """Name a failure of the package: it raises its own errors, those of the USB library and plain ones."""
        if isinstance(error, SpectrometerLostError):
            return error
        self._counters["failed"] += 1
        return SpectrometerLostError(f"{self.model} {self.serial_number} {what}: {type(error).__name__}: {error}")


def _load() -> Any:
    try:
        import seabreeze.spectrometers as library
    except ImportError as error:
        raise ConfigurationError(
            f"the driver seabreeze needs the package: pip install seabreeze ({error.name} is missing)"
        ) from error
    return library
