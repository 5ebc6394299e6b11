"""The line protocol of a C12880MA board, from the board's side; see `device.spectrometers.line_protocol`."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from device.spectrometers.boards.board import MAX_COMMAND_BYTES, SPECTRUM, SpectrumWish
from device.spectrometers.c12880ma import END_OF_REPLAY
from device.spectrometers.framing import Frame, SeparatedFramer

READOUT_US = 2_500
INTEGRATION_US = 10_000


class C12880MABoard:
    """Answers lines with lines."""

    name = "c12880ma"
    has_checksum = False
    baudrate = 0

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """See `Board`."""
        self.integration_us = INTEGRATION_US
        self._framer = SeparatedFramer(b"\n", MAX_COMMAND_BYTES)

    def feed(self, data: bytes) -> list[bytes | SpectrumWish]:
        """See `Board`."""
        replies: list[bytes | SpectrumWish] = []
        for frame in self._framer.feed(data):
            command = frame.content.strip() if isinstance(frame, Frame) else b"too long"
            if command == b"SPEC.READ?":
                replies.append(SPECTRUM)
            elif command == b"SPEC.TIMING?":
                replies.append(b"%d,%d\n" % (self.integration_us, READOUT_US))
            elif command.startswith(b"SPEC.INTEG "):
                if not self._set_integration(command):
                    replies.append(b"ERROR integration time\n")
            elif command:
                replies.append(b"ERROR unknown command\n")
        return replies

    def spectrum(self, counts: NDArray[Any], *, wrong_checksum: bool = False) -> bytes:
        """See `Board`."""
        return ",".join(map(str, counts.tolist())).encode() + b"\n"

    def refusal(self) -> bytes:
        """See `Board`."""
        return b"ERROR busy\n"

    def end_of_replay(self) -> bytes:
        """See `Board`."""
        return f"ERROR {END_OF_REPLAY}\n".encode()

    def garbage(self, noise: bytes) -> bytes:
        """See `Board`."""
        return noise.replace(b"\n", b"?") + b"\n"

    def _set_integration(self, command: bytes) -> bool:
        try:
            seconds = float(command.split(b" ", 1)[1])
        except ValueError:
            return False
        if not 0 < seconds < 3600:
            return False
        self.integration_us = round(seconds * 1e6)
        return True
