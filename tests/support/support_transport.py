"""A line without hardware that delivers one byte at a time, loses, delays and repeats bytes."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np

from device.spectrometers import SpectrometerLostError
from device.spectrometers.boards import Board, SpectrumWish


class UnreliableLine:
    """A transport with a board behind it.

    Parameters
    ----------
    board
        Answers what is written.
    spectra
        Served in turn, again and again; a list of all that were, with those lost on the way, is in `served`.
    piece
        Bytes that one reading delivers at most.
    lose, repeat, delay
        Probability for each byte to be lost or to come twice, and for each reading to give nothing yet.
    seed
        Of the chances.
    """

    def __init__(
        self,
        board: Board,
        spectra: Sequence[np.ndarray],
        *,
        piece: int = 1,
        lose: float = 0.0,
        repeat: float = 0.0,
        delay: float = 0.0,
        seed: int = 0,
    ) -> None:
        self._board, self._spectra = board, spectra
        self._piece, self._lose, self._repeat, self._delay = piece, lose, repeat, delay
        self._chance = random.Random(seed)
        self._queue = bytearray()
        self.served: list[np.ndarray] = []
        self.withheld: bytes | None = None
        self.closed = False

    def read(self, timeout: float) -> bytes:
        if self.closed:
            raise SpectrometerLostError("closed")
        if self._chance.random() < self._delay:
            return b""
        data = bytes(self._queue[: self._piece])
        del self._queue[: self._piece]
        out = bytearray()
        for byte in data:
            copies = 0 if self._chance.random() < self._lose else 2 if self._chance.random() < self._repeat else 1
            out += bytes([byte]) * copies
        return bytes(out)

    def write(self, data: bytes) -> None:
        for reply in self._board.feed(data):
            if isinstance(reply, SpectrumWish):
                self.served.append(self._spectra[len(self.served) % len(self._spectra)])
                reply = self._board.spectrum(self.served[-1])
                if self.withheld == b"":
                    self.withheld, reply = reply, b""
            self._queue += reply

    def withhold(self) -> None:
        """Keep back the next spectrum until `release`."""
        self.withheld = b""

    def release(self) -> None:
        """Deliver what was kept back."""
        self._queue += self.withheld or b""
        self.withheld = None

    def set_baudrate(self, baudrate: int) -> bool:
        return False

    def close(self) -> None:
        self.closed = True
