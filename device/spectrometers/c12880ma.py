"""Driver of Hamamatsu C12880MA mini-spectrometers on boards that speak the line protocol."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from types import MappingProxyType

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
from device.spectrometers.settings import MAX_INTEGRATION_S, SpectrometerSettings
from device.spectrometers.spectrometer import EndOfSpectraError, SpectrometerLostError, register_spectrometer
from device.spectrometers.transport import SerialTransport, Transport
from specnet.errors import SpectrometerError, SpectrumError

N_PIXELS = 288
QUIET_S = 0.03
STALL_S = 0.5
MAX_STALE_READS = 1000
END_OF_REPLAY = "end of replay"


@register_spectrometer("c12880ma")
class C12880MA:
    """A C12880MA board on a serial port.

    After anything unexpected the next reading starts with a resynchronisation: a timing request, whose answer closes
    whatever line was cut off, and a pause until the line is quiet. Without it the first number of a new spectrum could
    be glued to the last one of a broken line, and nobody would see it.

    Parameters
    ----------
    settings
        Port, integration time and time-out.
    n_points
        Number of values that a spectrum must have; 288 for the real chip.
    connect
        Opens the transport; the serial port of the settings by default.
    """

    model = "C12880MA"

    def __init__(
        self, settings: SpectrometerSettings, n_points: int = N_PIXELS, connect: Callable[[], Transport] | None = None
    ) -> None:
        self._settings = settings
        self._n_points = n_points
        self._connect = connect or (lambda: SerialTransport(settings.port, settings.baudrate))
        self._transport: Transport | None = None
        self._parser = LineParser()
        self._integration_time_s = settings.integration_time_s
        self._in_step = False
        self._counters: Counter[str] = Counter()

    @property
    def serial_number(self) -> str:
        """The port: the chip has no serial number that the firmware tells."""
        return self._settings.port

    @property
    def n_points(self) -> int:
        """Number of values of a spectrum."""
        return self._n_points

    @property
    def integration_time_s(self) -> float:
        """Exposure in seconds."""
        return self._integration_time_s

    @property
    def counters(self) -> Mapping[str, int]:
        """How often the line carried garbage, wrong lengths, half lines, refusals or nothing."""
        return MappingProxyType(self._counters)

    def open(self) -> None:
        """Connect, get into step and set the integration time."""
        self.close()
        self._transport = self._connect()
        self._parser.reset()
        try:
            self._resynchronise()
            self.set_integration_time(self._integration_time_s)
        except SpectrometerError:
            self.close()
            raise

    def close(self) -> None:
        """Disconnect."""
        transport, self._transport = self._transport, None
        self._in_step = False
        if transport is not None:
            transport.close()

    def set_integration_time(self, seconds: float) -> None:
        """Set the exposure in seconds; `SpectrometerError` when it is out of range."""
        if not 0 < seconds <= MAX_INTEGRATION_S:
            raise SpectrometerError(f"integration time is over 0 and up to {MAX_INTEGRATION_S:g} s, got {seconds}")
        self._connected().write(set_integration_time(seconds))
        self._integration_time_s = seconds

    def timing(self) -> tuple[float, ...]:
        """Ask for the timing.

        Its numbers mean different things in different firmwares; that there is an answer shows that the board lives.
        """
        event = self._ask(TIMING)
        if not isinstance(event, NumberLine):
            raise self._unexpected(event)
        return event.values

    def intensities(self) -> NDArray[np.int64]:
        """Read one spectrum, counts ``(n_points,)``; errors as in `Spectrometer.intensities`."""
        event = self._ask(READ)
        if not isinstance(event, NumberLine):
            raise self._unexpected(event)
        if len(event.values) != self._n_points:
            self._stumble("wrong_length")
            raise SpectrumError(f"the spectrometer sent {len(event.values)} points, expected {self._n_points}")
        counts = np.array(event.values)
        if (counts < 0).any() or (counts != np.rint(counts)).any():
            self._stumble("garbage")
            raise SpectrometerError("the spectrometer sent numbers that are no ADC counts, expected whole ones from 0")
        return counts.astype(np.int64)

    def _connected(self) -> Transport:
        if self._transport is None:
            raise SpectrometerLostError("the spectrometer is not open")
        return self._transport

    def _ask(self, command: bytes) -> Event:
        """Send a command in step and return the line that follows."""
        transport = self._connected()
        if not self._in_step:
            self._resynchronise()
        transport.write(command)
        return self._next_event()

    def _next_event(self) -> Event:
        events = self._next_events()
        if len(events) > 1:
            self._stumble("unasked")
            raise SpectrometerError(f"the spectrometer sent {len(events)} lines, expected one")
        if events:
            return events[0]
        kind = "half_line" if self._parser.reset() else "timeout"
        self._stumble(kind)
        raise SpectrometerError(
            f"the spectrometer gave no whole line within {self._patience_s:g} s ({kind.replace('_', ' ')})"
        )

    def _next_events(self) -> list[Event]:
        """Wait for a line; an empty list when none came in time."""
        transport = self._connected()
        deadline = time.monotonic() + self._patience_s
        while (left := deadline - time.monotonic()) > 0:
            # a line that has begun goes on at once; waiting longer for the rest of a broken one would only cost time
            patience = min(left, STALL_S) if self._parser.held_bytes else left
            data = transport.read(patience)
            if events := self._parser.feed(data):
                return events
            if not data and self._parser.held_bytes:
                break
        return []

    @property
    def _patience_s(self) -> float:
        return self._settings.timeout_s + self._integration_time_s

    def _resynchronise(self) -> None:
        """Make sure that the next line belongs to the next command."""
        transport = self._connected()
        self._drain(transport)
        transport.write(TIMING)
        if not self._next_events():
            self._counters["dead"] += 1
            raise SpectrometerLostError(f"the spectrometer does not answer within {self._patience_s:g} s")
        self._drain(transport)
        self._in_step = True

    def _drain(self, transport: Transport) -> None:
        """Throw away what still comes, until the line is quiet."""
        for _ in range(MAX_STALE_READS):
            if not transport.read(QUIET_S):
                self._parser.reset()
                return
        raise SpectrometerLostError("the spectrometer sends without being asked and does not stop")

    def _stumble(self, kind: str) -> None:
        self._counters[kind] += 1
        self._in_step = False

    def _unexpected(self, event: Event) -> SpectrometerError:
        """Count a line that is no answer, and say what it was."""
        if isinstance(event, ErrorLine):
            if END_OF_REPLAY in event.text:
                return EndOfSpectraError("the replay is over")
            self._stumble("refused")
            return SpectrometerError(f"the spectrometer refuses: {event.text!r}")
        self._stumble("garbage")
        what = {GarbageLine: "a line of garbage", OverlongLine: "a line without end"}.get(type(event), "numbers")
        size = event.n_bytes if isinstance(event, GarbageLine | OverlongLine) else 0
        return SpectrometerError(f"the spectrometer sent {what} ({size} bytes), expected comma-separated numbers")
