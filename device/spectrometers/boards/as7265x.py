"""The AT commands of an AS7265x, from the chip's side; see `device.spectrometers.at_protocol`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.spectrometers.as7265x import END_OF_REPLAY
from device.spectrometers.at_protocol import MAX_STEPS, STEP_US, WAVELENGTHS_NM
from device.spectrometers.boards.board import MAX_COMMAND_BYTES, SPECTRUM, SpectrumWish
from device.spectrometers.framing import Frame, SeparatedFramer

OK, ERROR = b"OK\r\n", b"ERROR\r\n"
TEMPERATURES = b"31,32,30 "
_ASCENDING = np.argsort(WAVELENGTHS_NM)


class AS7265xBoard:
    """Answers AT commands; recordings are in ascending order of wavelength."""

    name = "as7265x"
    has_checksum = False
    baudrate = 0

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """See `Board`."""
        self.integration_us = 20 * STEP_US
        self._framer = SeparatedFramer(b"\n", MAX_COMMAND_BYTES)

    def feed(self, data: bytes) -> list[bytes | SpectrumWish]:
        """See `Board`."""
        replies: list[bytes | SpectrumWish] = []
        for frame in self._framer.feed(data.replace(b"\r", b"\n")):
            command = frame.content.strip() if isinstance(frame, Frame) else b"too long"
            if command in (b"ATDATA", b"ATCDATA"):
                replies.append(SPECTRUM)
            elif command:
                replies.append(self._answer(command))
        return replies

    def _answer(self, command: bytes) -> bytes:
        name, _, value = command.partition(b"=")
        number = int(value) if value.isdigit() and len(value) < 5 else -1
        if name == b"ATINTTIME" and 1 <= number <= MAX_STEPS:
            self.integration_us = number * STEP_US
            return OK
        if command == b"ATTEMP":
            return TEMPERATURES + OK
        return OK if command == b"AT" or (name == b"ATGAIN" and 0 <= number <= 3) else ERROR

    def spectrum(self, counts: NDArray[Any], *, wrong_checksum: bool = False) -> bytes:
        """See `Board`."""
        values = np.empty(len(counts), dtype=np.asarray(counts).dtype)
        order = _ASCENDING if len(counts) == len(_ASCENDING) else np.arange(len(counts))
        values[order] = counts
        return ", ".join(map(str, values.tolist())).encode() + b" " + OK

    def refusal(self) -> bytes:
        """See `Board`."""
        return ERROR

    def end_of_replay(self) -> bytes:
        """See `Board`."""
        return b"ERROR " + END_OF_REPLAY.encode() + b"\r\n"

    def garbage(self, noise: bytes) -> bytes:
        """See `Board`."""
        return noise.replace(b"\r", b"?").replace(b"AT", b"??") + b"\r\n"
