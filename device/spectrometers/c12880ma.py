"""Driver of Hamamatsu C12880MA mini-spectrometers on boards that speak the line protocol."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from device.spectrometers.line_protocol import (
    READ,
    TIMING,
    ErrorLine,
    Event,
    GarbageLine,
    LineParser,
    NumberLine,
    OverlongLine,
    set_integration_time,
)
from device.spectrometers.polled import PolledSpectrometer
from device.spectrometers.settings import SpectrometerSettings
from device.spectrometers.spectrometer import EndOfSpectraError, register_spectrometer
from device.spectrometers.transport import Transport
from specnet.errors import SpectrometerError

N_PIXELS = 288
END_OF_REPLAY = "end of replay"


@register_spectrometer("c12880ma")
class C12880MA(PolledSpectrometer[Event]):
    """A C12880MA board on a serial port.

    It is brought into step by a timing request, whose answer closes whatever line was cut off, and a pause until the
    line is quiet. Without it the first number of a new spectrum could be glued to the last one of a broken line, and
    nobody would see it.

    Parameters
    ----------
    settings
        Port, integration time and time-out.
    n_points
        Number of values that a spectrum must have; 288 for the real chip.
    connect
        Opens the transport; the port of the settings by default.
    """

    model: ClassVar[str] = "C12880MA"

    def __init__(
        self, settings: SpectrometerSettings, n_points: int = N_PIXELS, connect: Callable[[], Transport] | None = None
    ) -> None:
        super().__init__(settings, n_points, LineParser(), connect)

    def timing(self) -> tuple[float, ...]:
        """Ask for the timing.

        Its numbers mean different things in different firmwares; that there is an answer shows that the board lives.
        """
        return self._numbers(self._ask(TIMING))

    def _acquire(self) -> NDArray[np.int64]:
        counts = np.array(self._numbers(self._ask(READ)))
        if (counts < 0).any() or (counts != np.rint(counts)).any():
            raise self._exchange.failure(
                "garbage", "the spectrometer sent numbers that are no ADC counts, expected whole ones from 0"
            )
        return counts.astype(np.int64)

    def _set_exposure(self, micros: int) -> int:
        self._exchange.transport.write(set_integration_time(micros / 1e6))
        return micros

    def _greet(self) -> None:
        self._exchange.transport.write(TIMING)
        if not self._exchange.events(self._patience_s):
            raise SpectrometerError(f"no answer within {self._patience_s:g} s")
        self._exchange.drain()

    def _numbers(self, event: Event) -> tuple[float, ...]:
        """Values of a line of numbers; anything else is counted and said."""
        if isinstance(event, NumberLine):
            return event.values
        if isinstance(event, ErrorLine):
            if END_OF_REPLAY in event.text:
                raise EndOfSpectraError("the replay is over")
            raise self._exchange.failure("refused", f"the spectrometer refuses: {event.text!r}")
        what = {GarbageLine: "a line of garbage", OverlongLine: "a line without end"}[type(event)]
        raise self._exchange.failure(
            "garbage", f"the spectrometer sent {what} ({event.n_bytes} bytes), expected comma-separated numbers"
        )
