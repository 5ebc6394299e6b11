"""The Ocean Binary Protocol, from the instrument's side; see `device.spectrometers.ocean_binary_protocol`."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.spectrometers.boards.board import SPECTRUM, SpectrumWish
from device.spectrometers.ocean_binary_protocol import (
    FOOTER,
    NO_SUCH_INFORMATION,
    DamagedMessage,
    Flag,
    Message,
    MessageParser,
    MessageType,
)

SERIAL_NUMBER = b"SIM00002"
WAVELENGTHS = (350.0, 0.25, -1e-6, 0.0)
NONLINEARITY = (1.0, 1e-7)
NOT_READY, UNKNOWN_TYPE, INVALID = 7, 2, 6
MAX_REQUEST_BYTES = 64


class OceanBinaryBoard:
    """Answers messages with messages."""

    name = "ocean-binary"
    has_checksum = True
    baudrate = 0

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """See `Board`."""
        self.integration_us = 10_000
        self._parser = MessageParser(MAX_REQUEST_BYTES)
        self._asked = 0

    def feed(self, data: bytes) -> list[bytes | SpectrumWish]:
        """See `Board`."""
        replies: list[bytes | SpectrumWish] = []
        for event in self._parser.feed(data):
            if isinstance(event, DamagedMessage):
                continue
            if event.message_type == MessageType.GET_RAW_SPECTRUM:
                self._asked = event.regarding
                replies.append(SPECTRUM)
            else:
                error, payload = self._answer(event)
                if payload or error or event.flags & Flag.WANTS_ACK:
                    replies.append(_reply(event.message_type, event.regarding, error, payload))
        return replies

    def _answer(self, request: Message) -> tuple[int, bytes]:
        """Error number and payload of the reply."""
        kind, payload = request.message_type, request.payload
        if kind == MessageType.GET_SERIAL_NUMBER:
            return 0, SERIAL_NUMBER
        for values, count, one in (
            (WAVELENGTHS, MessageType.GET_WAVELENGTH_COUNT, MessageType.GET_WAVELENGTH),
            (NONLINEARITY, MessageType.GET_NONLINEARITY_COUNT, MessageType.GET_NONLINEARITY),
        ):
            if kind == count:
                return 0, bytes([len(values)])
            if kind == one:
                known = len(payload) == 1 and payload[0] < len(values)
                return (0, struct.pack("<f", values[payload[0]])) if known else (NO_SUCH_INFORMATION, b"")
        if kind == MessageType.SET_INTEGRATION_US and len(payload) == 4:
            micros = int.from_bytes(payload, "little")
            if not 10 <= micros <= 10_000_000:
                return INVALID, b""
            self.integration_us = micros
            return 0, b""
        return (0 if kind in (MessageType.SET_SCANS_TO_AVERAGE, MessageType.SET_BOXCAR) else UNKNOWN_TYPE), b""

    def spectrum(self, counts: NDArray[Any], *, wrong_checksum: bool = False) -> bytes:
        """See `Board`."""
        data = np.minimum(counts, 65_535).astype("<u2").tobytes()
        reply = _reply(MessageType.GET_RAW_SPECTRUM, self._asked, 0, data)
        if wrong_checksum:
            position = len(reply) - len(FOOTER) - 1
            reply = reply[:position] + bytes([reply[position] ^ 0xFF]) + FOOTER
        return reply

    def refusal(self) -> bytes:
        """See `Board`."""
        return _reply(MessageType.GET_RAW_SPECTRUM, self._asked, NOT_READY, b"")

    def end_of_replay(self) -> bytes:
        """See `Board`."""
        return _reply(MessageType.GET_RAW_SPECTRUM, self._asked, NO_SUCH_INFORMATION, b"")

    def garbage(self, noise: bytes) -> bytes:
        """See `Board`."""
        return noise


def _reply(message_type: int, regarding: int, error: int, payload: bytes) -> bytes:
    flags = Flag.RESPONSE | (Flag.NACK if error else Flag.ACK)
    return Message(message_type, regarding=regarding, flags=flags, error=error, payload=payload).encode()
