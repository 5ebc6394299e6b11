"""Answers of boards that a definition describes, without any input or output."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from device.spectrometers.definition import Checksum, Definition, unescape
from device.spectrometers.framing import OverlongFrame, SeparatedFramer

MAX_NUMBER_BYTES = 32
PATTERN_BYTES = 256
_NUMBER = re.compile(rb"[+-]?(?:[0-9]{1,15}(?:\.[0-9]{0,15})?|\.[0-9]{1,15})(?:[eE][+-]?[0-9]{1,2})?\Z")
CHECKSUM_BYTES = {"none": 0, "sum8": 1, "xor8": 1, "sum16-little": 2, "sum16-big": 2, "crc16-modbus": 2}


@dataclass(frozen=True, eq=False)
class Numbers:
    """The numbers of an answer as they were sent, before scale and offset."""

    values: NDArray[np.float64]


@dataclass(frozen=True)
class Refusal:
    """The board says no."""


@dataclass(frozen=True)
class Unreadable:
    """Something else; `kind` is one of before, after, number, overlong, checksum, end."""

    kind: str


Event = Numbers | Refusal | Unreadable


class TextAnswerParser:
    """Bytes in, events out; a text of at most 32 bytes a number is held, and no input raises.

    Parameters
    ----------
    definition
        Whose answer is a text.
    """

    def __init__(self, definition: Definition) -> None:
        answer = definition.reply
        limit = definition.points * MAX_NUMBER_BYTES + 2 * PATTERN_BYTES
        self._framer = SeparatedFramer(unescape("end", answer.end), limit)
        self._before, self._after = re.compile(answer.before.encode()), re.compile(answer.after.encode() + rb"\Z")
        self._refusal = unescape("refusal", answer.refusal)
        self._delimiter = None if answer.delimiter == " " else answer.delimiter.encode("latin-1", "replace")

    @property
    def held_bytes(self) -> int:
        """Bytes of an unfinished answer."""
        return self._framer.held_bytes

    def feed(self, data: bytes) -> list[Event]:
        """Events that `data` completes; empty lines make none."""
        events: list[Event] = []
        for frame in self._framer.feed(data):
            if isinstance(frame, OverlongFrame):
                events.append(Unreadable("overlong"))
            elif text := frame.content.strip():
                events.append(self._parse(text))
        return events

    def reset(self) -> int:
        """Forget the unfinished answer; returns how many bytes it had."""
        return self._framer.reset()

    def _parse(self, text: bytes) -> Event:
        if self._refusal and text.startswith(self._refusal):
            return Refusal()
        # the expressions see the edges only, so a long broken text costs no more than a short one
        if (before := self._before.match(text[:PATTERN_BYTES])) is None:
            return Unreadable("before")
        text = text[before.end() :]
        edge = max(0, len(text) - PATTERN_BYTES)
        if (after := self._after.search(text[edge:])) is None:
            return Unreadable("after")
        parts = text[: edge + after.start()].strip().split(self._delimiter)
        if parts and not parts[-1].strip():
            parts.pop()
        numbers = [part.strip() for part in parts]
        if not numbers or not all(_NUMBER.match(part) for part in numbers):
            return Unreadable("number")
        return Numbers(np.array([float(part) for part in numbers]))


class BinaryAnswerParser:
    """Bytes in, events out; no more than one answer is held, and no input raises.

    After anything else the next answer is found at its start bytes; where the definition has none, only a reset helps.

    Parameters
    ----------
    definition
        Whose answer is binary.
    """

    def __init__(self, definition: Definition) -> None:
        answer = definition.reply
        self._start, self._end = unescape("start", answer.start), unescape("end", answer.end)
        self._refusal = unescape("refusal", answer.refusal)
        self._dtype = np.dtype(answer.value)
        self._checksum: Checksum = answer.checksum
        self._n_data = definition.points * self._dtype.itemsize
        self._n_checksum = CHECKSUM_BYTES[answer.checksum]
        self._whole = len(self._start) + self._n_data + self._n_checksum + len(self._end)
        self._buffer = bytearray()
        self._at_start = True

    @property
    def held_bytes(self) -> int:
        """Bytes of an unfinished answer."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[Event]:
        """Events that `data` completes."""
        self._buffer += data
        events: list[Event] = []
        while (event := self._next()) is not None:
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
        """Forget the unfinished answer; returns how many bytes it had."""
        held = len(self._buffer)
        self._buffer.clear()
        self._at_start = True
        return held

    def _drop(self, n_bytes: int) -> None:
        """Drop bytes that belong to no answer: numbers among them may look like a refusal."""
        del self._buffer[:n_bytes]
        self._at_start = False

    def _next(self) -> Event | None:
        if self._at_start and self._refusal:
            if self._buffer.startswith(self._refusal):
                del self._buffer[: len(self._refusal)]
                return Refusal()
            if self._refusal.startswith(bytes(self._buffer)):
                return None
        if self._start:
            self._find_start()
        if len(self._buffer) < self._whole:
            return None
        candidate = bytes(self._buffer[: self._whole])
        complaint = self._complaint(candidate)
        if complaint:
            # without start bytes there is nothing to look for inside a bad answer
            self._drop(1 if self._start else self._whole)
            return Unreadable(complaint)
        del self._buffer[: self._whole]
        self._at_start = True
        numbers = np.frombuffer(
            candidate, self._dtype, offset=len(self._start), count=self._n_data // self._dtype.itemsize
        )
        values = numbers.astype(np.float64)
        return Numbers(values) if np.isfinite(values).all() else Unreadable("number")

    def _find_start(self) -> None:
        """Drop bytes until an answer may begin at the head."""
        position = self._buffer.find(self._start)
        if position < 0:
            # the start bytes may have begun in the last ones
            size = len(self._buffer)
            edge = range(max(0, size - len(self._start) + 1), size)
            position = next((place for place in edge if self._start.startswith(bytes(self._buffer[place:]))), size)
        if position:
            self._drop(position)

    def _complaint(self, candidate: bytes) -> str:
        if not candidate.endswith(self._end):
            return "end"
        data = candidate[len(self._start) : len(self._start) + self._n_data]
        found = candidate[len(self._start) + self._n_data : len(candidate) - len(self._end)]
        return "" if found == checksum(self._checksum, data) else "checksum"


def checksum(kind: Checksum, data: bytes) -> bytes:
    """Checksum of the bytes of the numbers; `sum16` adds bytes, crc16-modbus is little endian as on that bus."""
    if kind == "none":
        return b""
    values = np.frombuffer(data, np.uint8)
    if kind == "sum8":
        return bytes([int(values.sum(dtype=np.uint64)) & 0xFF])
    if kind == "xor8":
        return bytes([int(np.bitwise_xor.reduce(values))])
    if kind == "crc16-modbus":
        return _crc16_modbus(data).to_bytes(2, "little")
    total = int(values.sum(dtype=np.uint64)) & 0xFFFF
    return total.to_bytes(2, "little" if kind == "sum16-little" else "big")


def _crc16_modbus(data: bytes) -> int:
    """CRC with polynomial 0x8005 reflected, start value 0xFFFF (Modbus over serial line V1.02, 6.2.2)."""
    crc = 0xFFFF
    for byte in data:
        crc = (crc >> 8) ^ _CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc


def _crc_entry(index: int) -> int:
    for _ in range(8):
        index = (index >> 1) ^ (0xA001 if index & 1 else 0)
    return index


_CRC_TABLE = tuple(map(_crc_entry, range(256)))
