"""Driver of Ocean Optics' instruments that speak the Ocean Binary Protocol on a serial line: STS and others."""

from __future__ import annotations

import logging
import math
import struct
import time
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from device.spectrometers.calibration import WavelengthCalibration
from device.spectrometers.ocean_binary_protocol import (
    ERRORS,
    NO_SUCH_INFORMATION,
    DamagedMessage,
    Event,
    Flag,
    Message,
    MessageParser,
    MessageType,
)
from device.spectrometers.polled import PolledSpectrometer
from device.spectrometers.settings import SpectrometerSettings
from device.spectrometers.spectrometer import EndOfSpectraError, register_spectrometer
from device.spectrometers.transport import Transport
from specnet.errors import AxisError

logger = logging.getLogger(__name__)

MAX_COEFFICIENTS = 16
BITS_PER_BYTE = 10
NO_FLAGS = Flag(0)


@register_spectrometer("ocean-binary")
class OceanBinary(PolledSpectrometer[Event]):
    """An instrument that speaks OBP.

    Every request has a number of its own that comes back in the reply, so a late reply is recognised and thrown away.

    Parameters
    ----------
    settings
        Port, exposure, `onboard_scans` (averaged by the instrument), `boxcar`.
    n_points
        Number of values that a spectrum must have: 1024 for the STS.
    connect
        Opens the transport; the port of the settings by default.
    """

    model: ClassVar[str] = "Ocean Binary Protocol"
    usual_baudrate: ClassVar[int] = 9600
    options: ClassVar[tuple[str, ...]] = ("onboard_scans", "boxcar")

    def __init__(
        self, settings: SpectrometerSettings, n_points: int, connect: Callable[[], Transport] | None = None
    ) -> None:
        super().__init__(settings, n_points, MessageParser(max(4 * n_points, 1024)), connect)
        self._regarding = 0
        self._serial_number = ""
        self._wavelengths: NDArray[np.float64] | None = None

    @property
    def serial_number(self) -> str:
        """Serial number from the instrument, or the port before it is known."""
        return self._serial_number or self._settings.port

    @property
    def integration_time_micros_limits(self) -> tuple[int, int]:
        """10 us to 10 s."""
        return 10, 10_000_000

    def wavelengths(self) -> NDArray[np.float64] | None:
        """Wavelengths ``(n_points,)`` in nm from the instrument's memory; None when it holds none."""
        return self._wavelengths

    def _greet(self) -> None:
        reply = self._exchanged(MessageType.GET_SERIAL_NUMBER, b"", NO_FLAGS)
        text = reply.payload.split(b"\0")[0].decode("ascii", "replace")
        self._serial_number = text if text.isprintable() else ""

    def _set_up(self) -> None:
        if self._settings.onboard_scans > 1:
            self._tell(MessageType.SET_SCANS_TO_AVERAGE, struct.pack("<H", self._settings.onboard_scans))
        if self._settings.boxcar:
            self._tell(MessageType.SET_BOXCAR, struct.pack("<B", min(self._settings.boxcar, 255)))
        coefficients = self._coefficients(MessageType.GET_WAVELENGTH_COUNT, MessageType.GET_WAVELENGTH)
        try:
            self._wavelengths = (
                WavelengthCalibration(coefficients).wavelengths(self._n_points) if coefficients else None
            )
        except AxisError as error:
            logger.warning("the spectrometer's memory holds no wavelengths: %s", error)
        if self._settings.correct_nonlinearity:
            self._nonlinearity = self._coefficients(MessageType.GET_NONLINEARITY_COUNT, MessageType.GET_NONLINEARITY)

    def _coefficients(self, count: MessageType, one: MessageType) -> tuple[float, ...]:
        """Coefficients of the memory; none when one is missing or no number."""
        reply = self._request(count)
        n = reply.payload[0] if reply.error == 0 and reply.payload else 0
        values = []
        for index in range(min(n, MAX_COEFFICIENTS)):
            reply = self._request(one, struct.pack("<B", index))
            if reply.error or len(reply.payload) < 4:
                return ()
            values.append(struct.unpack_from("<f", reply.payload)[0])
        return tuple(values) if all(map(math.isfinite, values)) else ()

    def _set_exposure(self, micros: int) -> int:
        self._tell(MessageType.SET_INTEGRATION_US, struct.pack("<I", micros))
        return micros

    def _acquire(self) -> NDArray[Any]:
        reply = self._request(MessageType.GET_RAW_SPECTRUM)
        if reply.error == NO_SUCH_INFORMATION:
            raise EndOfSpectraError("the replay is over")
        self._check(reply)
        wide = len(reply.payload) == 4 * self._n_points
        if len(reply.payload) % (4 if wide else 2):
            raise self._exchange.failure(
                "garbage", f"the spectrum has {len(reply.payload)} bytes, no whole number of points"
            )
        return np.frombuffer(reply.payload, "<u4" if wide else "<u2").astype(np.uint32)

    def _tell(self, message_type: MessageType, payload: bytes) -> None:
        self._check(self._request(message_type, payload, Flag.WANTS_ACK))

    def _check(self, reply: Message) -> None:
        if reply.error or reply.flags & (Flag.NACK | Flag.EXCEPTION):
            meaning = ERRORS.get(reply.error, "unknown error")
            raise self._exchange.failure(
                "refused", f"the spectrometer refuses {reply.message_type:#010x}: {meaning} ({reply.error})"
            )

    def _request(self, message_type: MessageType, payload: bytes = b"", flags: Flag = NO_FLAGS) -> Message:
        """Ask in step and give the reply."""
        self._get_into_step()
        return self._exchanged(message_type, payload, flags)

    def _exchanged(self, message_type: MessageType, payload: bytes, flags: Flag) -> Message:
        """Send a request and wait for the reply with its number."""
        self._regarding = (self._regarding + 1) & 0xFFFFFFFF
        request = Message(message_type, regarding=self._regarding, flags=flags, payload=payload).encode()
        patience_s = self._patience_s
        if message_type == MessageType.GET_RAW_SPECTRUM:
            patience_s += 4 * self._n_points * BITS_PER_BYTE / (self._settings.baudrate or self.usual_baudrate)
        deadline = time.monotonic() + patience_s
        while True:
            event = self._exchange.ask(request, max(deadline - time.monotonic(), 0.0))
            if isinstance(event, DamagedMessage):
                raise self._exchange.failure(
                    "checksum" if event.kind == "checksum" else "garbage",
                    f"the reply to {message_type.name} is damaged: wrong {event.kind}",
                )
            if event.regarding == self._regarding and event.message_type == message_type:
                return event
            self._exchange.counters["late"] += 1
            # the reply to an earlier request: go on waiting, ask nothing again
            request = b""
