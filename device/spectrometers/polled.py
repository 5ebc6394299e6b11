"""What all drivers have in common that ask for one spectrum after the other over a byte stream."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Generic, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from device.spectrometers.connection import connect as connect_port
from device.spectrometers.corrections import correct_detector
from device.spectrometers.exchange import Exchange, Parser
from device.spectrometers.settings import SpectrometerSettings
from device.spectrometers.spectrometer import SpectrometerLostError
from device.spectrometers.transport import Transport
from specnet.errors import ConfigurationError, SpectrometerError, SpectrumError

E = TypeVar("E")
OPTIONS = ("definition", "onboard_scans", "boxcar", "gain", "calibrated")
"""Settings that only some drivers have."""


class PolledSpectrometer(ABC, Generic[E]):
    """A spectrometer behind a request-and-reply protocol.

    After anything unexpected the next request begins with getting into step again, so that a late reply is never taken
    for the next one.

    Parameters
    ----------
    settings
        Port, exposure, time-out and options.
    n_points
        Number of values that a spectrum must have.
    parser
        Of the protocol.
    connect
        Opens the transport; the port of the settings by default.

    Raises
    ------
    ConfigurationError
        When the settings have an option that this driver does not know.
    """

    usual_baudrate: ClassVar[int] = 115_200
    options: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        settings: SpectrometerSettings,
        n_points: int,
        parser: Parser[E],
        connect: Callable[[], Transport] | None = None,
    ) -> None:
        defaults = {field.name: field.default for field in msgspec.structs.fields(SpectrometerSettings)}
        for option in OPTIONS:
            if option not in self.options and (value := getattr(settings, option)) != defaults[option]:
                raise ConfigurationError(f"the driver {settings.driver!r} has no spectrometer.{option}, got {value!r}")
        self._settings = settings
        self._n_points = n_points
        self._exchange = Exchange(parser, connect or (lambda: connect_port(settings, self.usual_baudrate)))
        self._integration_us = round(settings.integration_time_s * 1e6)
        self._nonlinearity: tuple[float, ...] = ()

    @property
    @abstractmethod
    def model(self) -> str:
        """Name of the model."""

    @property
    def serial_number(self) -> str:
        """The port, where the instrument does not tell its serial number."""
        return self._settings.port

    @property
    def pixels(self) -> int:
        """Number of values of a spectrum."""
        return self._n_points

    @property
    def max_intensity(self) -> float:
        """Highest value that a pixel can have."""
        return 65_535.0

    @property
    def integration_time_micros_limits(self) -> tuple[int, int]:
        """Shortest and longest exposure in microseconds."""
        return 1, 600_000_000

    @property
    def exposure_micros(self) -> int:
        """Exposure in force, in microseconds."""
        return self._integration_us

    @property
    def counters(self) -> Mapping[str, int]:
        """How often there were garbage, wrong lengths or checksums, half replies, refusals or nothing."""
        return MappingProxyType(self._exchange.counters)

    def open(self) -> None:
        """Connect, get into step, set up and set the exposure."""
        self._exchange.open()
        try:
            self._get_into_step()
            self._set_up()
            self.integration_time_micros(self._integration_us)
        except (SpectrometerError, ConfigurationError):
            self.close()
            raise

    def close(self) -> None:
        """Disconnect."""
        self._exchange.close()

    def integration_time_micros(self, integration_time_micros: int) -> None:
        """Set the exposure in microseconds; `SpectrometerError` when it is out of range or refused."""
        low, high = self.integration_time_micros_limits
        if not low <= integration_time_micros <= high:
            raise SpectrometerError(
                f"integration time of {self.model} is from {low} to {high} us, got {integration_time_micros}"
            )
        self._integration_us = self._set_exposure(integration_time_micros)

    def wavelengths(self) -> NDArray[np.float64] | None:
        """None: the instrument does not tell them."""
        return None

    def temperature_c(self) -> float | None:
        """None: the instrument does not tell it."""
        return None

    def intensities(self, correct_dark_counts: bool = False, correct_nonlinearity: bool = False) -> NDArray[Any]:
        """Read one spectrum, counts ``(n_points,)``; errors as in `Spectrometer.intensities`."""
        counts = self._acquire()
        if len(counts) != self._n_points:
            self._exchange.failure("wrong_length", "")
            raise SpectrumError(f"the spectrometer sent {len(counts)} points, expected {self._n_points}")
        if correct_dark_counts or correct_nonlinearity:
            return self.corrected(counts, correct_dark_counts, correct_nonlinearity)
        return counts

    def corrected(
        self, counts: NDArray[Any], correct_dark_counts: bool, correct_nonlinearity: bool
    ) -> NDArray[np.float64]:
        """Correct raw counts ``(n_points,)``; see `correct_detector`."""
        return correct_detector(
            counts,
            dark_pixels=self._settings.dark_pixels,
            nonlinearity=self._nonlinearity,
            correct_dark_counts=correct_dark_counts,
            correct_nonlinearity=correct_nonlinearity,
        )

    @abstractmethod
    def _acquire(self) -> NDArray[Any]:
        """Ask for one spectrum."""

    @abstractmethod
    def _set_exposure(self, micros: int) -> int:
        """Tell the instrument its exposure; returns the one that it then has, in microseconds."""

    def _set_up(self) -> None:
        """Bring a newly connected instrument into the state that the settings want."""
        return

    def _greet(self) -> None:
        """Get a sign of life in step; `SpectrometerError` when there is none."""
        return

    @property
    def _patience_s(self) -> float:
        return self._settings.timeout_s + self._settings.onboard_scans * self._integration_us / 1e6

    def _ask(self, request: bytes, transfer_s: float = 0.0) -> E:
        """Send a request in step and return the event that follows; a long answer takes `transfer_s` on the line."""
        self._get_into_step()
        return self._exchange.ask(request, self._patience_s + transfer_s)

    def _get_into_step(self) -> None:
        if self._exchange.in_step:
            return
        self._exchange.drain()
        try:
            self._greet()
        except SpectrometerLostError:
            raise
        except SpectrometerError as error:
            self._exchange.counters["dead"] += 1
            raise SpectrometerLostError(f"the spectrometer does not answer as it should: {error}") from error
        self._exchange.in_step = True
