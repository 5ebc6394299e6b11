"""The AT commands of the AS7265x chip set's firmware, without any input or output.

The host sends a line, the firmware answers with data and ``OK``, on one line or two, or with ``ERROR``::

    AT               OK                       a sign of life
    ATINTTIME=n      OK                       exposure, n * 2.8 ms, 1 to 255
    ATGAIN=n         OK                       0: 1x, 1: 3.7x, 2: 16x, 3: 64x
    ATDATA           18 raw counts OK         order R S T U V W, G H I J K L, A B C D E F
    ATCDATA          18 calibrated values OK
    ATTEMP           temperatures of the three chips in degrees Celsius OK

Carriage return, line feed or both end a line. Source: ams, "AS7265x Smart 18-Channel VIS to NIR Spectral_ID 3-Sensor
Chipset", DS000612 v1-04 (2018-07-09), section "AT Command Interface"; an earlier data sheet had another order.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from device.spectrometers.framing import OverlongFrame, SeparatedFramer

MAX_LINE_BYTES = 1024
CHANNELS = "RSTUVWGHIJKLABCDEF"
WAVELENGTHS_NM = (610, 680, 730, 760, 810, 860, 560, 585, 645, 705, 900, 940, 410, 435, 460, 485, 510, 535)
STEP_US = 2_800
MAX_STEPS = 255
_NUMBER = rb"-?[0-9]{1,10}(?:\.[0-9]{0,10})?(?:e[+-]?[0-9]{1,2})?"
# at most one blank around a comma: with any number of them a broken line could keep the matching busy for minutes
_NUMBERS = re.compile(_NUMBER + rb"(?: ?, ?" + _NUMBER + rb")*,?\Z")


def command(name: str, value: int | None = None) -> bytes:
    """Command, with a value or without."""
    return (name if value is None else f"{name}={value}").encode("ascii") + b"\n"


@dataclass(frozen=True)
class Reply:
    """OK, with the numbers before it."""

    values: tuple[float, ...]


@dataclass(frozen=True)
class ErrorReply:
    """ERROR, with the text behind it."""

    text: str


@dataclass(frozen=True)
class Garbage:
    """A line that is no answer."""

    n_bytes: int


Event = Reply | ErrorReply | Garbage


class AtParser:
    """Bytes in, events out; no input raises, how it is cut changes nothing, and little is held."""

    def __init__(self) -> None:
        self._framer = SeparatedFramer(b"\n", MAX_LINE_BYTES)
        self._values: tuple[float, ...] = ()

    @property
    def held_bytes(self) -> int:
        """Bytes of an unfinished line, and one when numbers wait for their OK."""
        return self._framer.held_bytes + bool(self._values)

    def feed(self, data: bytes) -> list[Event]:
        """Events of all lines that `data` completes."""
        events: list[Event] = []
        for frame in self._framer.feed(data.replace(b"\r", b"\n")):
            if isinstance(frame, OverlongFrame):
                event: Event | None = Garbage(frame.n_bytes)
            else:
                event = self._line(frame.content)
            if event is not None:
                self._values = ()
                events.append(event)
        return events

    def reset(self) -> int:
        """Forget the unfinished answer; returns how many bytes it had."""
        held, self._values = self.held_bytes, ()
        self._framer.reset()
        return held

    def _line(self, line: bytes) -> Event | None:
        text = line.strip()
        if not text or text.startswith(b"AT"):
            return None  # some firmwares repeat the command
        if text.startswith(b"ERROR"):
            shown = text[5:205].decode("ascii", "replace")
            return ErrorReply("".join(c if c.isprintable() else "?" for c in shown).strip(" :"))
        is_whole = text.endswith(b"OK")
        body = text[:-2].rstrip(b" ,") if is_whole else text
        if not body:
            return Reply(self._values)
        if not _NUMBERS.match(body):
            return Garbage(len(line))
        values = tuple(float(part) for part in body.rstrip(b", ").split(b","))
        if is_whole:
            return Reply(values)
        self._values = values
        return None
