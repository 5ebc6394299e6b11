"""A board that a definition describes, from the board's side."""

from __future__ import annotations

import re
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.spectrometers.boards.board import MAX_COMMAND_BYTES, SPECTRUM, SpectrumWish
from device.spectrometers.declarative_protocol import checksum
from device.spectrometers.definition import Definition, Step, unescape
from specnet.errors import ConfigurationError

FIRST_EXPOSURE_US = 10_000
_DIGITS = rb"([0-9]{1,12})"


class DeclarativeBoard:
    """Waits for the commands of a definition and answers as it says.

    Parameters
    ----------
    definition
        Of the board.

    Raises
    ------
    ConfigurationError
        When what stands before or behind the numbers is no plain text: a board has to choose one.
    """

    name = "declarative"
    baudrate = 0

    def __init__(self, definition: Definition) -> None:
        self._definition = definition
        answer = definition.reply
        self.has_checksum = answer.checksum != "none"
        self._commands: list[tuple[re.Pattern[bytes], Step | None, bool]] = [
            (re.compile(re.escape(unescape("send", step.send))), step, False) for step in definition.set_up
        ]
        if (exposure := definition.exposure) is not None:
            head, _, tail = unescape("send", exposure.send).partition(b"{exposure}")
            number = _DIGITS
            if exposure.encoding != "text":
                number = b"(.{%d})" % struct.calcsize(exposure.encoding)
            pattern = re.compile(re.escape(head) + number + re.escape(tail), re.DOTALL)
            self._commands.append((pattern, Step(send="-", expect=exposure.expect), False))
        self._commands.append((re.compile(re.escape(unescape("send", definition.trigger.send))), None, True))
        self._before, self._after = _example(answer.before), _example(answer.after)
        self.restart()

    def restart(self) -> None:
        """See `Board`."""
        self.integration_us = FIRST_EXPOSURE_US
        self._buffer = b""

    def feed(self, data: bytes) -> list[bytes | SpectrumWish]:
        """See `Board`."""
        self._buffer = (self._buffer + data)[-MAX_COMMAND_BYTES:]
        replies: list[bytes | SpectrumWish] = []
        while True:
            matches = [(m, step, wish) for pattern, step, wish in self._commands if (m := pattern.search(self._buffer))]
            if not matches:
                return replies
            match, step, wish = min(matches, key=lambda found: found[0].start())
            self._buffer = self._buffer[match.end() :]
            if match.re.groups:
                self._expose(match[1])
            if wish:
                replies.append(SPECTRUM)
            elif step is not None and step.expect:
                end = b"\n" if self._definition.reply.kind == "text" else b""
                replies.append(unescape("expect", step.expect) + end)

    def spectrum(self, counts: NDArray[Any], *, wrong_checksum: bool = False) -> bytes:
        """See `Board`."""
        answer, scaling = self._definition.reply, self._definition.counts
        values = (np.asarray(counts, dtype=np.float64) - scaling.offset) / scaling.scale
        end = unescape("end", answer.end)
        if answer.kind == "text":
            delimiter = answer.delimiter
            return self._before + delimiter.join(f"{value:.6g}" for value in values).encode() + self._after + end
        dtype = np.dtype(answer.value)
        if dtype.kind != "f":
            bits = 8 * dtype.itemsize
            low = -(2 ** (bits - 1)) if dtype.kind == "i" else 0
            values = np.clip(np.rint(values), low, low + 2**bits - 1)
        data = values.astype(dtype).tobytes()
        tail = checksum(answer.checksum, data)
        if wrong_checksum:
            tail = bytes(byte ^ 0xFF for byte in tail)
        return unescape("start", answer.start) + data + tail + end

    def refusal(self) -> bytes:
        """See `Board`; without a word for it the board falls silent."""
        answer = self._definition.reply
        said = unescape("refusal", answer.refusal)
        return said + unescape("end", answer.end) if said and answer.kind == "text" else said

    def end_of_replay(self) -> bytes:
        """See `Board`."""
        return self.refusal()

    def garbage(self, noise: bytes) -> bytes:
        """See `Board`."""
        return noise + unescape("end", self._definition.reply.end)

    def _expose(self, number: bytes) -> None:
        exposure = self._definition.exposure
        assert exposure is not None
        units = float(number) if exposure.encoding == "text" else float(struct.unpack(exposure.encoding, number)[0])
        self.integration_us = round(units * exposure.unit_us)


def _example(pattern: str) -> bytes:
    """Text that a simple pattern matches: repetitions of what may be missing are left out."""
    text = re.sub(r"\\(.)", r"\1", re.sub(r"(?:\[[^\]]*\]|[^\\])[*?]", "", pattern))
    if re.fullmatch(pattern, text) is None:
        raise ConfigurationError(f"the simulated board finds no text for the pattern {pattern!r}; use a plain one")
    return text.encode()
