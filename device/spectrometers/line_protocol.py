"""The line protocol of C12880MA breakout boards, without any input or output.

The host sends a command, the board answers with one line; both end with a newline::

    SPEC.INTEG 0.010000     set the integration time in seconds; no answer
    SPEC.READ?              one spectrum: comma-separated ADC counts, one for each pixel
    SPEC.TIMING?            comma-separated numbers; what they mean differs between firmwares
    ERROR <text>            instead of an answer

The firmware (GroupGets' breakout board and its derivatives) checks nothing and numbers nothing, so an answer is known
only by being the next line. `LineParser` turns bytes into lines; it holds a bounded buffer and finds back at the next
newline whatever it was fed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from device.spectrometers.framing import OverlongFrame, SeparatedFramer

READ = b"SPEC.READ?\n"
TIMING = b"SPEC.TIMING?\n"
MAX_LINE_BYTES = 65_536
MAX_ERROR_CHARACTERS = 200
_NUMBER = rb"-?[0-9]{1,12}(?:\.[0-9]{0,12})?"
# at most one blank after a comma: with any number of them a broken line could keep the matching busy for minutes
_NUMBERS = re.compile(_NUMBER + rb"(?:, ?" + _NUMBER + rb")*,?\Z")


def set_integration_time(seconds: float) -> bytes:
    """Command that sets the integration time."""
    return b"SPEC.INTEG %.6f\n" % seconds


@dataclass(frozen=True)
class NumberLine:
    """A line of numbers: a spectrum or a timing, as was asked for."""

    values: tuple[float, ...]


@dataclass(frozen=True)
class ErrorLine:
    """The board says that it cannot answer."""

    text: str


@dataclass(frozen=True)
class GarbageLine:
    """A line that is neither numbers nor an error; `n_bytes` without its newline."""

    n_bytes: int


@dataclass(frozen=True)
class OverlongLine:
    """A line that did not end within the buffer and was thrown away; `n_bytes` without its newline."""

    n_bytes: int


Event = NumberLine | ErrorLine | GarbageLine | OverlongLine


class LineParser:
    """Bytes in, events out.

    How the bytes are cut into pieces changes nothing, no input raises, and no more than `max_line_bytes` are held.

    Parameters
    ----------
    max_line_bytes
        Longest line that is kept.
    """

    def __init__(self, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self._framer = SeparatedFramer(b"\n", max_line_bytes)

    @property
    def held_bytes(self) -> int:
        """Bytes of an unfinished line in the buffer."""
        return self._framer.held_bytes

    def feed(self, data: bytes) -> list[Event]:
        """Events of all lines that `data` completes; empty lines make none."""
        events: list[Event] = []
        for frame in self._framer.feed(data):
            event = OverlongLine(frame.n_bytes) if isinstance(frame, OverlongFrame) else _parse_line(frame.content)
            if event is not None:
                events.append(event)
        return events

    def reset(self) -> int:
        """Forget the unfinished line; returns how many bytes it had."""
        return self._framer.reset()


def _parse_line(line: bytes) -> Event | None:
    text = line.strip()
    if not text:
        return None
    if _NUMBERS.match(text):
        return NumberLine(tuple(float(part) for part in text.rstrip(b", \t\r").split(b",")))
    if text.upper().startswith(b"ERROR"):
        # whatever a broken line carries ends up in logs: printable characters only
        shown = "".join(
            c if c.isprintable() else "?" for c in text[5 : 5 + MAX_ERROR_CHARACTERS].decode("ascii", "replace")
        )
        return ErrorLine(shown.strip(" :"))
    return GarbageLine(len(line))
