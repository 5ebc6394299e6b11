"""The letter protocol of Ocean Optics' RS-232 instruments, without any input or output.

A command is a letter and a 16-bit word, high byte first; the answer is ACK or NAK, and data where some were asked for.
``S`` is answered by STX and the spectrum, or by ETX when there is none::

    FFFF | data size: 0 words, 1 double words | scans | exposure | baseline, 2 words | pixel mode | data | FFFD

With checksum mode a word follows, the 16-bit sum of the data. Sources: Ocean Optics, "SAD500 Communications and
Control" (commands, speed, technical note 3: checksum); "USB4000 Data Sheet" 211-00000-000-05-201604 and "Flame
User Manual" 225-00000-000-11-201604, chapter 8 (format of a spectrum). The manuals do not say on which side of FFFD the
checksum stands, so both places are understood.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

ACK, NAK, STX, ETX = 0x06, 0x15, 0x02, 0x03
START_WORD, END_WORD = 0xFFFF, 0xFFFD
BINARY_MODE = b"bB"
ACQUIRE = b"S"
VERSION = b"v"
BAUDRATES = {2400: 0, 4800: 1, 9600: 2, 19_200: 3, 38_400: 4, 57_600: 5, 115_200: 6}
POWER_UP_BAUDRATE = 9600
HEADER = struct.Struct(">BHHHHHHH")
MEMORY_BYTES = 16
MAX_STRAY_BYTES = 64
"""So many bytes that fit nothing may stand before an answer: an echo, or noise of a plug."""


def command(letter: str, value: int) -> bytes:
    """Command with a data word."""
    return letter.encode("ascii") + struct.pack(">H", value)


def query(letter: str) -> bytes:
    """Ask for the value of a command's letter."""
    return b"?" + letter.encode("ascii")


def query_memory(index: int) -> bytes:
    """Ask for a text of the memory: 0 serial number, 1-4 wavelengths, 6-13 nonlinearity, 14 its order."""
    return b"?x" + struct.pack(">H", index)


class Expected(Enum):
    """What the host waits for."""

    NOTHING = "nothing"
    ACKNOWLEDGEMENT = "acknowledgement"
    WORD = "word"
    MEMORY = "memory"
    SPECTRUM = "spectrum"


@dataclass(frozen=True)
class Acknowledged:
    """ACK."""


@dataclass(frozen=True)
class Refused:
    """NAK, or ETX instead of a spectrum."""

    code: int


@dataclass(frozen=True)
class Word:
    """ACK and a word."""

    value: int


@dataclass(frozen=True)
class Memory:
    """ACK and a text."""

    text: bytes


@dataclass(frozen=True, eq=False)
class LetterSpectrum:
    """A whole spectrum, data ``(n_points,)``."""

    data: NDArray[np.uint32]


@dataclass(frozen=True)
class Damaged:
    """An answer that cannot be used; `kind` is one of garbage, layout, end, checksum."""

    kind: str


Event = Acknowledged | Refused | Word | Memory | LetterSpectrum | Damaged


class LetterParser:
    """Bytes in, events out.

    The protocol has no frames, so the parser must be told what is waited for; without that, and after the answer, bytes
    are only counted. How the bytes are cut into pieces changes nothing, no input raises, and no more than one spectrum
    is held.

    Parameters
    ----------
    n_points
        Points of a spectrum: the answer does not say how many come.
    checksum
        Whether the instrument is in checksum mode.
    """

    def __init__(self, n_points: int, *, checksum: bool = True) -> None:
        self._n_points = n_points
        self._checksum = checksum
        self._expected = Expected.NOTHING
        self._buffer = bytearray()
        self._skipped = 0
        self.stray_bytes = 0

    @property
    def held_bytes(self) -> int:
        """Bytes of an unfinished answer."""
        return len(self._buffer)

    def expect(self, expected: Expected) -> None:
        """Say what is waited for; what was held is forgotten."""
        self.reset()
        self._expected = expected
        self.stray_bytes = 0

    def reset(self) -> int:
        """Forget the unfinished answer and wait for nothing; returns how many bytes it had."""
        held = len(self._buffer)
        self._buffer.clear()
        self._expected = Expected.NOTHING
        self._skipped = 0
        return held

    def feed(self, data: bytes) -> list[Event]:
        """Events that `data` completes: one at most for each expectation."""
        if self._expected is Expected.NOTHING:
            self.stray_bytes += len(data)
            return []
        self._buffer += data
        event, used = self._parse()
        if event is None:
            return []
        self.stray_bytes += len(self._buffer) - used
        self.reset()
        return [event]

    def _parse(self) -> tuple[Event | None, int]:
        """Event at the head of the buffer, and how many bytes it took."""
        wanted = (STX, ETX, NAK) if self._expected is Expected.SPECTRUM else (ACK, NAK)
        while True:
            while self._buffer and self._buffer[0] not in wanted:
                if self._skip():
                    return Damaged("garbage"), 0
            if not self._buffer:
                return None, 0
            if self._buffer[0] != STX:
                return self._parse_short()
            # two bytes tell whether an STX in the noise was one
            if len(self._buffer) < 3 or self._buffer[1:3] == b"\xff\xff":
                return self._parse_spectrum()
            if self._skip():
                return Damaged("garbage"), 0

    def _skip(self) -> bool:
        """Drop a byte that belongs to nothing; True when there have been too many."""
        del self._buffer[0]
        self._skipped += 1
        self.stray_bytes += 1
        return self._skipped > MAX_STRAY_BYTES

    def _parse_short(self) -> tuple[Event | None, int]:
        if self._buffer[0] != ACK:
            return Refused(self._buffer[0]), 1
        if self._expected is Expected.ACKNOWLEDGEMENT:
            return Acknowledged(), 1
        if self._expected is Expected.WORD:
            return (Word(int.from_bytes(self._buffer[1:3], "big")), 3) if len(self._buffer) >= 3 else (None, 0)
        text = bytes(self._buffer[1 : 1 + MEMORY_BYTES])
        for position, byte in enumerate(text):
            if byte in b"\0\r\n":
                return Memory(text[:position]), position + 2
        return (Memory(text), 1 + MEMORY_BYTES) if len(text) == MEMORY_BYTES else (None, 0)

    def _parse_spectrum(self) -> tuple[Event | None, int]:
        if len(self._buffer) < HEADER.size:
            return None, 0
        _, _, size_flag, _, _, _, _, pixel_mode = HEADER.unpack_from(self._buffer)
        if size_flag not in (0, 1) or pixel_mode != 0:
            return Damaged("layout"), HEADER.size
        end = HEADER.size + self._n_points * (4 if size_flag else 2)
        n_tail = 2 if self._checksum else 1
        whole = end + 2 * n_tail
        if len(self._buffer) < whole:
            return None, 0
        data = np.frombuffer(bytes(self._buffer[HEADER.size : end]), ">u4" if size_flag else ">u2").astype(np.uint32)
        tail = struct.unpack_from(f">{n_tail}H", self._buffer, end)
        if END_WORD not in tail:
            return Damaged("end"), whole
        if self._checksum and (int(data.sum(dtype=np.uint64)) & 0xFFFF, END_WORD) not in (tail, tail[::-1]):
            return Damaged("checksum"), whole
        return LetterSpectrum(data), whole
