"""Driver of Ocean Optics' instruments on RS-232: USB2000, USB4000, HR2000, HR4000, Flame and their relatives."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from device.spectrometers.calibration import WavelengthCalibration
from device.spectrometers.ocean_letter_protocol import (
    ACQUIRE,
    BAUDRATES,
    BINARY_MODE,
    POWER_UP_BAUDRATE,
    VERSION,
    Acknowledged,
    Damaged,
    Event,
    Expected,
    LetterParser,
    LetterSpectrum,
    Memory,
    Refused,
    Word,
    command,
    query_memory,
)
from device.spectrometers.polled import PolledSpectrometer
from device.spectrometers.settings import SpectrometerSettings
from device.spectrometers.spectrometer import register_spectrometer
from device.spectrometers.transport import Transport
from specnet.errors import AxisError, ConfigurationError, SpectrometerError

logger = logging.getLogger(__name__)

GREETING_S = 0.3
SPEED_CHANGE_S = 0.06
MAX_ONBOARD_SCANS = 15
BITS_PER_BYTE = 10
SERIAL_NUMBER, WAVELENGTHS, NONLINEARITY, NONLINEARITY_ORDER = 0, (1, 2, 3, 4), range(6, 14), 14


@register_spectrometer("ocean-letter")
class OceanLetter(PolledSpectrometer[Event]):
    """An instrument that speaks the letter protocol.

    It wakes up at 9,600 baud. Another speed of the settings is agreed upon when the port is opened: the letter ``K`` at
    the old speed, a pause of over 50 ms, and ``K`` again at the new one; when any step fails, the old speed stays.

    Parameters
    ----------
    settings
        Port, speed, exposure in steps of 1 ms, `onboard_scans` (1 to 15), `boxcar`.
    n_points
        Number of values that a spectrum must have, dark and unused pixels included: 2048 or 3840.
    connect
        Opens the transport; the port of the settings by default.

    Raises
    ------
    ConfigurationError
        When the speed is none of the protocol's, or there are too many scans.
    """

    model: ClassVar[str] = "Ocean Optics RS-232"
    usual_baudrate: ClassVar[int] = POWER_UP_BAUDRATE
    options: ClassVar[tuple[str, ...]] = ("onboard_scans", "boxcar")

    def __init__(
        self, settings: SpectrometerSettings, n_points: int, connect: Callable[[], Transport] | None = None
    ) -> None:
        self._wanted = settings.baudrate or POWER_UP_BAUDRATE
        if self._wanted not in BAUDRATES:
            known = ", ".join(map(str, BAUDRATES))
            raise ConfigurationError(f"spectrometer.baudrate of ocean-letter is one of {known}, got {self._wanted}")
        if settings.onboard_scans > MAX_ONBOARD_SCANS:
            raise ConfigurationError(
                f"spectrometer.onboard_scans of ocean-letter is 1 to {MAX_ONBOARD_SCANS}, got {settings.onboard_scans}"
            )
        self._letters = LetterParser(n_points)
        super().__init__(settings, n_points, self._letters, connect)
        self._serial_number = ""
        self._firmware = ""
        self._wavelengths: NDArray[np.float64] | None = None

    @property
    def serial_number(self) -> str:
        """Serial number from the instrument's memory, or the port before it is known."""
        return self._serial_number or self._settings.port

    @property
    def integration_time_micros_limits(self) -> tuple[int, int]:
        """1 ms to 65.535 s."""
        return 1_000, 65_535_000

    @property
    def firmware(self) -> str:
        """Version of the microcontroller's program, such as 1.00.0; empty before it is known."""
        return self._firmware

    def wavelengths(self) -> NDArray[np.float64] | None:
        """Wavelengths ``(n_points,)`` in nm from the instrument's memory; None when it holds none."""
        return self._wavelengths

    @property
    def _transfer_s(self) -> float:
        """Seconds that the longest spectrum takes on the line, at the slower of the speeds that it may have."""
        return 4 * self._n_points * BITS_PER_BYTE / min(self._wanted, self.usual_baudrate)

    def _greet(self) -> None:
        if self._answers():
            return
        transport = self._exchange.transport
        if self._wanted == POWER_UP_BAUDRATE or not transport.set_baudrate(POWER_UP_BAUDRATE):
            raise SpectrometerError("no acknowledgement of the binary mode")
        self._exchange.drain()
        if not self._answers():
            raise SpectrometerError(
                f"no acknowledgement of the binary mode at {self._wanted} or {POWER_UP_BAUDRATE} baud"
            )
        if not self._change_speed(transport):
            self._exchange.counters["speed_refused"] += 1
            logger.warning("the spectrometer does not go from %d to %d baud", POWER_UP_BAUDRATE, self._wanted)
            transport.set_baudrate(POWER_UP_BAUDRATE)
            if not self._answers():
                raise SpectrometerError(f"no acknowledgement after a refused change to {self._wanted} baud")

    def _change_speed(self, transport: Transport) -> bool:
        change = command("K", BAUDRATES[self._wanted])
        if not self._is_acknowledged(change):
            return False
        # the instrument wants more than 50 ms
        time.sleep(SPEED_CHANGE_S)
        transport.set_baudrate(self._wanted)
        return self._is_acknowledged(change)

    def _answers(self) -> bool:
        """Whether binary mode is acknowledged; a first one may have ended a command that was cut off."""
        return self._is_acknowledged(BINARY_MODE) or self._is_acknowledged(BINARY_MODE)

    def _is_acknowledged(self, request: bytes) -> bool:
        self._letters.expect(Expected.ACKNOWLEDGEMENT)
        self._exchange.transport.write(request)
        return any(isinstance(event, Acknowledged) for event in self._exchange.events(GREETING_S))

    def _set_up(self) -> None:
        self._firmware = self._version()
        self._tell("k", 1)
        self._tell("A", self._settings.onboard_scans)
        self._tell("B", self._settings.boxcar)
        self._serial_number = self._remembered(SERIAL_NUMBER)
        self._wavelengths = self._remembered_wavelengths()
        self._nonlinearity = self._remembered_nonlinearity()

    def _version(self) -> str:
        self._get_into_step()
        self._letters.expect(Expected.WORD)
        event = self._ask(VERSION)
        if not isinstance(event, Word):
            raise self._unexpected(event, "v")
        # 1000 is read as 1.00.0
        return f"{event.value // 1000}.{event.value // 10 % 100:02d}.{event.value % 10}"

    def _remembered(self, index: int) -> str:
        """Text of the memory; empty when the instrument has none there."""
        self._get_into_step()
        self._letters.expect(Expected.MEMORY)
        event = self._ask(query_memory(index))
        # some firmwares fill up with zeros, others end the line
        self._exchange.drain()
        text = event.text.decode("ascii", "replace") if isinstance(event, Memory) else ""
        return text.strip() if text.isprintable() else ""

    def _remembered_number(self, index: int) -> float | None:
        try:
            value = float(self._remembered(index))
        except ValueError:
            return None
        return value if np.isfinite(value) else None

    def _remembered_wavelengths(self) -> NDArray[np.float64] | None:
        coefficients = [self._remembered_number(index) for index in WAVELENGTHS]
        if coefficients[0] is None or coefficients[1] is None:
            return None
        try:
            return WavelengthCalibration([value or 0.0 for value in coefficients]).wavelengths(self._n_points)
        except AxisError as error:
            logger.warning("the spectrometer's memory holds no wavelengths: %s", error)
            return None

    def _remembered_nonlinearity(self) -> tuple[float, ...]:
        if not self._settings.correct_nonlinearity:
            return ()
        order = self._remembered_number(NONLINEARITY_ORDER)
        if order is None or not 0 < order < len(NONLINEARITY):
            return ()
        values = [self._remembered_number(index) for index in NONLINEARITY[: int(order) + 1]]
        return tuple(value for value in values if value is not None) if None not in values else ()

    def _set_exposure(self, micros: int) -> int:
        milliseconds = min(max(round(micros / 1000), 1), 65_535)
        self._tell("I", milliseconds)
        return milliseconds * 1000

    def _tell(self, letter: str, value: int) -> None:
        self._get_into_step()
        self._letters.expect(Expected.ACKNOWLEDGEMENT)
        event = self._ask(command(letter, value))
        if not isinstance(event, Acknowledged):
            raise self._unexpected(event, f"{letter} {value}")

    def _acquire(self) -> NDArray[Any]:
        self._get_into_step()
        if self._letters.stray_bytes:
            n_bytes, self._letters.stray_bytes = self._letters.stray_bytes, 0
            raise self._exchange.failure("unasked", f"the spectrometer sent {n_bytes} bytes without being asked")
        self._letters.expect(Expected.SPECTRUM)
        event = self._ask(ACQUIRE, self._transfer_s)
        if not isinstance(event, LetterSpectrum):
            raise self._unexpected(event, "S")
        if self._settings.onboard_scans == 1:
            return event.data
        return event.data / self._settings.onboard_scans

    def _unexpected(self, event: Event, asked: str) -> SpectrometerError:
        if isinstance(event, Refused):
            return self._exchange.failure("refused", f"the spectrometer refuses {asked} (code {event.code:#04x})")
        if isinstance(event, Damaged):
            kind = "checksum" if event.kind == "checksum" else "garbage"
            return self._exchange.failure(kind, f"the spectrometer's answer to {asked} is damaged: {event.kind}")
        return self._exchange.failure("garbage", f"the spectrometer answers {asked} with {type(event).__name__}")
