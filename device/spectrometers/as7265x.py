"""Driver of the AS7265x chip set: 18 channels from 410 to 940 nm, by the AT commands of its firmware."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from device.spectrometers.at_protocol import (
    MAX_STEPS,
    STEP_US,
    WAVELENGTHS_NM,
    AtParser,
    ErrorReply,
    Event,
    Garbage,
    Reply,
    command,
)
from device.spectrometers.polled import PolledSpectrometer
from device.spectrometers.settings import SpectrometerSettings
from device.spectrometers.spectrometer import EndOfSpectraError, register_spectrometer
from device.spectrometers.transport import Transport
from specnet.errors import ConfigurationError, SpectrometerError
from specnet.spectra import Quantity, SpectralAxis

MAX_GAIN = 3
CYCLES = 2
END_OF_REPLAY = "end of replay"
_ORDER = np.argsort(WAVELENGTHS_NM)
_ASCENDING_NM = np.array(WAVELENGTHS_NM, dtype=np.float64)[_ORDER]


@register_spectrometer("as7265x")
class AS7265x(PolledSpectrometer[Event]):
    """An AS7265x chip set on a serial port; its channels are given in ascending order of wavelength.

    Parameters
    ----------
    settings
        Port, exposure in steps of 2.8 ms, `gain` (0 to 3: 1, 3.7, 16 and 64 times), `calibrated` (values in
        microwatts per square centimetre by the firmware's calibration, instead of counts).
    n_points
        18.
    connect
        Opens the transport; the port of the settings by default.

    Raises
    ------
    ConfigurationError
        When the gain or the number of points is none of this chip set.
    """

    model: ClassVar[str] = "AS7265x"
    options: ClassVar[tuple[str, ...]] = ("gain", "calibrated")

    def __init__(
        self, settings: SpectrometerSettings, n_points: int, connect: Callable[[], Transport] | None = None
    ) -> None:
        if settings.gain > MAX_GAIN:
            raise ConfigurationError(f"spectrometer.gain of as7265x is 0 to {MAX_GAIN}, got {settings.gain}")
        if n_points != len(WAVELENGTHS_NM):
            raise ConfigurationError(f"as7265x has {len(WAVELENGTHS_NM)} points, its axis has {n_points}")
        super().__init__(settings, n_points, AtParser(), connect)
        self._ready_at = 0.0

    @staticmethod
    def known_axis(settings: SpectrometerSettings) -> SpectralAxis:
        """Give the centres of the 18 filters."""
        return SpectralAxis(_ASCENDING_NM, Quantity.WAVELENGTH)

    @property
    def integration_time_micros_limits(self) -> tuple[int, int]:
        """2.8 to 714 ms."""
        return STEP_US, STEP_US * MAX_STEPS

    def wavelengths(self) -> NDArray[np.float64]:
        """Centres of the filters ``(18,)`` in nm."""
        return _ASCENDING_NM.copy()

    def temperature_c(self) -> float | None:
        """Mean temperature of the three chips; None when the firmware does not tell it."""
        event = self._ask(command("ATTEMP"))
        return float(np.mean(event.values)) if isinstance(event, Reply) and event.values else None

    def _greet(self) -> None:
        event = self._exchange.ask(command("AT"), self._patience_s)
        if isinstance(event, Reply):
            return
        # what came closed a line that had been cut off, so the next answer is whole
        self._exchange.drain()
        event = self._exchange.ask(command("AT"), self._patience_s)
        if not isinstance(event, Reply):
            raise SpectrometerError(f"AT is answered with {event}")

    def _set_up(self) -> None:
        self._tell("ATGAIN", self._settings.gain)

    def _set_exposure(self, micros: int) -> int:
        steps = min(max(round(micros / STEP_US), 1), MAX_STEPS)
        self._tell("ATINTTIME", steps)
        # each half of the channels takes a cycle, and the cycle under way has the old exposure
        self._ready_at = time.monotonic() + (CYCLES + 1) * steps * STEP_US / 1e6
        return steps * STEP_US

    def _tell(self, name: str, value: int) -> None:
        self._values(self._ask(command(name, value)), f"{name}={value}")

    def _acquire(self) -> NDArray[np.float64]:
        if (wait := self._ready_at - time.monotonic()) > 0:
            time.sleep(wait)
        name = "ATCDATA" if self._settings.calibrated else "ATDATA"
        values = np.array(self._values(self._ask(command(name)), name))
        return values[_ORDER] if len(values) == len(_ORDER) else values

    def _values(self, event: Event, asked: str) -> tuple[float, ...]:
        if isinstance(event, Reply):
            return event.values
        if isinstance(event, ErrorReply):
            if END_OF_REPLAY in event.text:
                raise EndOfSpectraError("the replay is over")
            raise self._exchange.failure("refused", f"the spectrometer refuses {asked}: {event.text or 'ERROR'}")
        assert isinstance(event, Garbage)
        raise self._exchange.failure("garbage", f"the answer to {asked} is a line of garbage ({event.n_bytes} bytes)")
