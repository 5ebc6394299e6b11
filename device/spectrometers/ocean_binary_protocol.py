"""The Ocean Binary Protocol (OBP), without any input or output.

A message is a header of 44 bytes, a payload, a checksum of 16 bytes and a footer; numbers are little endian::

    C1 C0 | version, flags, error number: 2 bytes each | message type, regarding: 4 each | 6 reserved
          | checksum type: 0 none, 1 MD5 | length of immediate data | 16 of immediate data | bytes remaining: 4
    payload | MD5 over everything before | C5 C4 C3 C2

Up to 16 bytes travel as immediate data, more as payload. `regarding` is chosen by the host and comes back in the reply.
Source: Ocean Optics, "STS Data Sheet" 030-00000-003-05-201612, protocol version 0x1100; message types also in the
definitions of SeaBreeze 3 (OBPMessageTypes.h).
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from enum import IntEnum, IntFlag

START = b"\xc1\xc0"
FOOTER = b"\xc5\xc4\xc3\xc2"
VERSION = 0x1100
HEADER = struct.Struct("<2sHHHII6sBB16sI")
TRAILER_BYTES = 20
IMMEDIATE_BYTES = 16
NO_CHECKSUM, MD5 = 0, 1
MAX_PAYLOAD_BYTES = 4 * 65_536


class Flag(IntFlag):
    """Flags of a message."""

    RESPONSE = 0x0001
    ACK = 0x0002
    WANTS_ACK = 0x0004
    NACK = 0x0008
    EXCEPTION = 0x0010


class MessageType(IntEnum):
    """Messages that the driver sends."""

    GET_SERIAL_NUMBER = 0x00000100
    GET_RAW_SPECTRUM = 0x00101100
    SET_INTEGRATION_US = 0x00110010
    SET_SCANS_TO_AVERAGE = 0x00120010
    SET_BOXCAR = 0x00121010
    GET_WAVELENGTH_COUNT = 0x00180100
    GET_WAVELENGTH = 0x00180101
    GET_NONLINEARITY_COUNT = 0x00181100
    GET_NONLINEARITY = 0x00181101


ERRORS = {
    1: "unsupported protocol",
    2: "unknown message type",
    3: "bad checksum",
    4: "message too large",
    5: "payload length does not fit the message type",
    6: "payload data invalid",
    7: "not ready",
    8: "unknown checksum type",
    9: "unexpected reset",
    10: "too many buses",
    11: "out of memory",
    12: "no such information",
    13: "internal error",
    14: "message did not end properly",
    15: "scan interrupted",
    255: "deferred",
}
NO_SUCH_INFORMATION = 12


@dataclass(frozen=True)
class Message:
    """A message; `payload` holds the immediate data too."""

    message_type: int
    regarding: int = 0
    flags: int = 0
    error: int = 0
    payload: bytes = b""

    def encode(self) -> bytes:
        """Bytes of the message, with an MD5 checksum."""
        immediate, rest = (self.payload, b"") if len(self.payload) <= IMMEDIATE_BYTES else (b"", self.payload)
        sizes = (MD5, len(immediate), immediate, len(rest) + TRAILER_BYTES)
        header = HEADER.pack(
            START, VERSION, self.flags, self.error, self.message_type, self.regarding, bytes(6), *sizes
        )
        content = header + rest
        return content + hashlib.md5(content, usedforsecurity=False).digest() + FOOTER


@dataclass(frozen=True)
class DamagedMessage:
    """A header that was none, or a message whose end is wrong; `kind` is footer or checksum."""

    kind: str


Event = Message | DamagedMessage


class MessageParser:
    """Bytes in, events out.

    After anything else than a message the next one is found at its start bytes. How the bytes are cut into pieces
    changes nothing, no input raises, and no more than one message of the greatest length is held.

    Parameters
    ----------
    max_payload_bytes
        Longest payload that is waited for; a header that announces more is none.
    """

    def __init__(self, max_payload_bytes: int = MAX_PAYLOAD_BYTES) -> None:
        self._max_remaining = max_payload_bytes + TRAILER_BYTES
        self._buffer = bytearray()
        self.stray_bytes = 0

    @property
    def held_bytes(self) -> int:
        """Bytes of an unfinished message."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[Event]:
        """Events that `data` completes."""
        self._buffer += data
        events: list[Event] = []
        while self._find_header():
            whole = HEADER.size + int.from_bytes(self._buffer[40:44], "little")
            if len(self._buffer) < whole:
                break
            event = self._parse(bytes(self._buffer[:whole]))
            if isinstance(event, DamagedMessage):
                # a good message may have begun inside what looked like one
                self._drop(len(START))
            else:
                del self._buffer[:whole]
            events.append(event)
        return events

    def flush(self) -> list[Event]:
        """Events in what is held, when nothing more comes: what is unfinished is given up at its start bytes."""
        events = self.feed(b"")
        while self._buffer:
            self._drop(1)
            events += self.feed(b"")
        return events

    def reset(self) -> int:
        """Forget the unfinished message; returns how many bytes it had."""
        held = len(self._buffer)
        self._buffer.clear()
        return held

    def _find_header(self) -> bool:
        """Drop bytes until a header stands at the head; False when there is none yet."""
        while True:
            position = self._buffer.find(START)
            if position < 0:
                # the first start byte may be the last that has come
                self._drop(len(self._buffer) - self._buffer.endswith(START[:1]))
                return False
            self._drop(position)
            if len(self._buffer) < HEADER.size:
                return False
            checksum_type, immediate, remaining = self._buffer[22], self._buffer[23], self._buffer[40:44]
            if (
                checksum_type in (NO_CHECKSUM, MD5)
                and immediate <= IMMEDIATE_BYTES
                and TRAILER_BYTES <= int.from_bytes(remaining, "little") <= self._max_remaining
            ):
                return True
            self._drop(len(START))

    def _parse(self, data: bytes) -> Event:
        _, _, flags, error, kind, regarding, _, checksum_type, n_immediate, immediate, _ = HEADER.unpack_from(data)
        if not data.endswith(FOOTER):
            return DamagedMessage("footer")
        content, checksum = data[:-TRAILER_BYTES], data[-TRAILER_BYTES : -len(FOOTER)]
        if checksum_type == MD5 and hashlib.md5(content, usedforsecurity=False).digest() != checksum:
            return DamagedMessage("checksum")
        payload = immediate[:n_immediate] + content[HEADER.size :]
        return Message(message_type=kind, regarding=regarding, flags=flags, error=error, payload=payload)

    def _drop(self, n_bytes: int) -> None:
        del self._buffer[:n_bytes]
        self.stray_bytes += n_bytes
