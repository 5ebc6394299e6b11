"""Spectra from an instrument that stammers, sends garbage and is unplugged now and then."""

from __future__ import annotations

import logging
import random
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Protocol

from device.spectrometers import EndOfSpectraError, SpectrometerLostError
from device.spectrometers.reading import Reading
from specnet.errors import SpectrometerError, SpectrumError
from specnet.mqtt.backoff import BackOff

logger = logging.getLogger(__name__)

REOPEN_MIN_S = 0.1
REOPEN_MAX_S = 10.0
FAILURES_BEFORE_REOPENING = 3


class Source(Protocol):
    """What spectra come from, such as `device.spectrometers.instrument.Instrument`, whose errors it has."""

    @property
    def model(self) -> str:
        """Name of the model."""

    @property
    def serial_number(self) -> str:
        """Serial number."""

    @property
    def counters(self) -> Mapping[str, int]:
        """What happened."""

    def open(self) -> None:
        """Connect."""

    def close(self) -> None:
        """Disconnect."""

    def read(self) -> Reading:
        """Take one spectrum."""


class Acquisition:
    """Reads spectra one after the other; opens the instrument again when it is lost.

    Parameters
    ----------
    instrument
        Not yet open.
    interval_s
        Pause before each spectrum but the first, in seconds.
    stop_at_end
        Whether the end of a replay ends the acquisition; otherwise it is asked again and again.
    stopped
        Set from outside to end.
    generator
        Jitter of the pauses between attempts to open.
    """

    def __init__(
        self,
        instrument: Source,
        *,
        interval_s: float,
        stop_at_end: bool,
        stopped: threading.Event,
        generator: random.Random,
    ) -> None:
        self._instrument = instrument
        self._interval_s = interval_s
        self._stop_at_end = stop_at_end
        self._stopped = stopped
        self._generator = generator
        self._back_off = BackOff(REOPEN_MIN_S, REOPEN_MAX_S, generator)
        self._open = False
        self._was_open = False
        self._failures = 0
        self._restart = threading.Event()
        self._counters: Counter[str] = Counter()
        self.on_turn: Callable[[], None] | None = None
        """Called before each attempt: a sign of life while an instrument is away."""

    @property
    def counters(self) -> Mapping[str, int]:
        """Spectra read, failed readings, losses of the instrument, and what the driver counted."""
        return MappingProxyType({**self._counters.copy(), **self._instrument.counters})

    def restart(self) -> None:
        """Open the instrument again before the next spectrum; from any thread."""
        self._restart.set()

    def read(self) -> Reading | None:
        """Read the next spectrum; None when stopped or at the end of a replay."""
        if self._counters["read"] and self._stopped.wait(self._interval_s):
            return None
        while not self._stopped.is_set():
            if self._restart.is_set():
                self._restart.clear()
                self._counters["restarted"] += 1
                self.close()
            if self.on_turn is not None:
                self.on_turn()
            try:
                self._make_sure_it_is_open()
                reading = self._instrument.read()
            except EndOfSpectraError:
                if self._stop_at_end:
                    return None
                self._stopped.wait(REOPEN_MAX_S / 10)
            except SpectrometerLostError as error:
                self._lost(error)
            except (SpectrometerError, SpectrumError) as error:
                self._failed(error)
            else:
                self._failures = 0
                self._counters["read"] += 1
                return reading
        return None

    def close(self) -> None:
        """Disconnect."""
        self._open = False
        self._instrument.close()

    def _make_sure_it_is_open(self) -> None:
        if self._open:
            return
        self._instrument.open()
        self._open = True
        if self._was_open:
            self._counters["reopened"] += 1
        self._was_open = True
        logger.info("spectrometer %s at %s is open", self._instrument.model, self._instrument.serial_number)

    def _failed(self, error: Exception) -> None:
        """Ask again; the same failure several times in a row means that the connection itself is bad."""
        self._failures += 1
        self._counters["failed_readings"] += 1
        logger.warning("reading failed: %s", error)
        if self._failures >= FAILURES_BEFORE_REOPENING:
            self._failures = 0
            self.close()
            self._stopped.wait(self._back_off.after(0.0))

    def _lost(self, error: Exception) -> None:
        if self._open:
            self._counters["lost"] += 1
            self._back_off = BackOff(REOPEN_MIN_S, REOPEN_MAX_S, self._generator)
        if self._open or not self._counters["attempts_to_open"]:
            # once a loss, not once an attempt
            logger.warning("spectrometer lost, trying to open it again: %s", error)
        self._counters["attempts_to_open"] += 1
        self.close()
        self._stopped.wait(self._back_off.after(0.0))
