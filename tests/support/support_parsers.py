"""All parsers of instruments' answers, what a good answer looks like to each, and inputs that resemble them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
import numpy as np

from device.spectrometers.at_protocol import MAX_LINE_BYTES, AtParser
from device.spectrometers.boards.as7265x import AS7265xBoard
from device.spectrometers.boards.c12880ma import C12880MABoard
from device.spectrometers.boards.declarative import DeclarativeBoard
from device.spectrometers.boards.ocean_letter import OceanLetterBoard
from device.spectrometers.declarative_protocol import (
    MAX_NUMBER_BYTES,
    PATTERN_BYTES,
    BinaryAnswerParser,
    TextAnswerParser,
)
from device.spectrometers.definition import Definition, read_definition
from device.spectrometers.line_protocol import LineParser
from device.spectrometers.ocean_binary_protocol import FOOTER, HEADER, START, Message, MessageParser, MessageType
from device.spectrometers.ocean_letter_protocol import Expected, LetterParser

N_POINTS = 8
COUNTS = np.array([7, 300, 4095, 0, 12, 513, 1029, 21], dtype=np.uint32)
OBP_LIMIT = 64


class Parser(Protocol):
    """What all parsers have."""

    @property
    def held_bytes(self) -> int: ...

    def feed(self, data: bytes) -> Sequence[Any]: ...

    def reset(self) -> int: ...


@dataclass(frozen=True)
class Subject:
    """A parser to be tried.

    Parameters
    ----------
    make
        A new parser, waiting for an answer.
    good
        A whole good answer.
    limit
        Most bytes that the parser may hold.
    crumbs
        Pieces that inputs are made of.
    """

    make: Callable[[], Parser]
    good: bytes
    limit: int
    crumbs: tuple[bytes, ...]


def small(name: str) -> Definition:
    """A definition of the package with few points."""
    definition = read_definition(name)
    return msgspec.structs.replace(definition, points=N_POINTS, axis=None)


def _letter(expected: Expected) -> Callable[[], LetterParser]:
    def make() -> LetterParser:
        parser = LetterParser(N_POINTS)
        parser.expect(expected)
        return parser

    return make


def _letter_spectrum() -> bytes:
    board = OceanLetterBoard()
    board.feed(b"k\0\1")
    return board.spectrum(COUNTS)


def describe(event: object) -> str:
    """Text that tells events apart, arrays included."""
    arrays = [value.tobytes() for value in vars(event).values() if isinstance(value, np.ndarray)]
    return f"{type(event).__name__} {arrays}" if arrays else repr(event)


CSV, CCD = small("csv-lines"), small("binary-ccd")
OBP_GOOD = Message(MessageType.GET_RAW_SPECTRUM, regarding=5, payload=COUNTS.astype("<u2").tobytes()).encode()
SHORT_OBP = Message(MessageType.GET_SERIAL_NUMBER, regarding=1, payload=b"S1").encode()
SUBJECTS = {
    "c12880ma": Subject(
        lambda: LineParser(256),
        C12880MABoard().spectrum(COUNTS),
        256,
        (b"ERROR x\n", b",", b"-1.5", b"\r\n", b"9" * 300),
    ),
    "ocean-letter": Subject(
        _letter(Expected.SPECTRUM),
        _letter_spectrum(),
        15 + 4 * N_POINTS + 4,
        (
            b"\x02",
            b"\x02\xff\xff",
            b"\xff\xff\0\1\0\1\0\1\0\0\0\0\0\0",
            b"\x03",
            b"\x15",
            b"\xff\xfd",
            b"\x02\xff\xff\0\0",
        ),
    ),
    "ocean-letter-memory": Subject(
        _letter(Expected.MEMORY), b"\x06SIM00001\0", 32, (b"\x06", b"\x15", b"\0", b"1.5\r")
    ),
    "ocean-binary": Subject(
        lambda: MessageParser(OBP_LIMIT),
        OBP_GOOD,
        HEADER.size + OBP_LIMIT + 20,
        (START, FOOTER, SHORT_OBP[:44], SHORT_OBP, START[:1], b"\x14\0\0\0", b"\0" * 20, OBP_GOOD[:50]),
    ),
    "as7265x": Subject(
        AtParser,
        AS7265xBoard().spectrum(COUNTS),
        MAX_LINE_BYTES + 1,
        (b"OK\n", b"ERROR\r\n", b"1, 2", b"ATDATA\n", b" ", b",", b"-3.5e2", b"\r", b"7" * 1100),
    ),
    "declarative-text": Subject(
        lambda: TextAnswerParser(CSV),
        DeclarativeBoard(CSV).spectrum(COUNTS),
        N_POINTS * MAX_NUMBER_BYTES + 2 * PATTERN_BYTES,
        (b"SPEC:", b"SPEC 12:", b"ERR\n", b"1,2", b"\n", b"SPEC" + b"0" * 900, b",,"),
    ),
    "declarative-binary": Subject(
        lambda: BinaryAnswerParser(CCD),
        DeclarativeBoard(CCD).spectrum(COUNTS),
        2 + 2 * N_POINTS + 2 + 2,
        (b"\xaa\x55", b"\xaa", b"\x15", b"\r\n", b"\0" * 16),
    ),
}
