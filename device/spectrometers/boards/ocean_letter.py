"""The letter protocol, from the instrument's side; see `device.spectrometers.ocean_letter_protocol`."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.spectrometers.boards.board import MAX_COMMAND_BYTES, SPECTRUM, SpectrumWish
from device.spectrometers.ocean_letter_protocol import (
    ACK,
    BAUDRATES,
    END_WORD,
    ETX,
    HEADER,
    MEMORY_BYTES,
    NAK,
    POWER_UP_BAUDRATE,
    START_WORD,
    STX,
)

MEMORY = {0: b"SIM00001", 1: b"350.0", 2: b"0.25", 3: b"-1e-06", 4: b"0", 6: b"1.0", 7: b"1e-07", 14: b"1"}
VERSION = 1000
_RANGES = {"A": (1, 15), "B": (0, 500), "I": (1, 65_535), "k": (0, 65_535), "T": (0, 4)}


class OceanLetterBoard:
    """Answers letters; the speed changes only when it is confirmed at the new one."""

    name = "ocean-letter"
    has_checksum = True

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """See `Board`."""
        self.baudrate = POWER_UP_BAUDRATE
        self._values = {"A": 1, "B": 0, "I": 100, "k": 0, "T": 0}
        self._buffer = b""

    @property
    def integration_us(self) -> int:
        """See `Board`."""
        return self._values["I"] * 1000

    def feed(self, data: bytes) -> list[bytes | SpectrumWish]:
        """See `Board`."""
        self._buffer = (self._buffer + data)[-MAX_COMMAND_BYTES:]
        replies: list[bytes | SpectrumWish] = []
        while self._buffer:
            used, reply = self._command(self._buffer)
            if not used:
                break
            self._buffer = self._buffer[used:]
            replies.append(reply)
        return replies

    def _command(self, data: bytes) -> tuple[int, bytes | SpectrumWish]:
        """Length of the command at the head, 0 when it is unfinished, and its reply."""
        letter = chr(data[0])
        if letter == "S":
            return 1, SPECTRUM
        if letter == "v":
            return 1, struct.pack(">BH", ACK, VERSION)
        if data.startswith(b"bB"):
            return 2, bytes([ACK])
        if letter == "?" or (letter == "b" and len(data) == 1):
            return self._query(data) if letter == "?" else (0, b"")
        if letter not in "ABIkTK":
            return 1, bytes([NAK])
        if len(data) < 3:
            return 0, b""
        value = int.from_bytes(data[1:3], "big")
        return 3, bytes([ACK if (self._set_speed(value) if letter == "K" else self._set(letter, value)) else NAK])

    def _query(self, data: bytes) -> tuple[int, bytes]:
        if data[1:2] == b"x":
            if len(data) < 4:
                return 0, b""
            text = MEMORY.get(int.from_bytes(data[2:4], "big"))
            return 4, bytes([NAK]) if text is None else bytes([ACK]) + text.ljust(MEMORY_BYTES, b"\0")
        if len(data) < 2:
            return 0, b""
        value = self._values.get(chr(data[1]))
        return 2, bytes([NAK]) if value is None else struct.pack(">BH", ACK, value)

    def _set(self, letter: str, value: int) -> bool:
        low, high = _RANGES[letter]
        if low <= value <= high:
            self._values[letter] = value
        return low <= value <= high

    def _set_speed(self, value: int) -> bool:
        speeds = {index: speed for speed, index in BAUDRATES.items()}
        if value not in speeds:
            return False
        # the first K comes at the old speed, the second one confirms at the new
        self.baudrate = speeds[value]
        return True

    def spectrum(self, counts: NDArray[Any], *, wrong_checksum: bool = False) -> bytes:
        """See `Board`."""
        scans = self._values["A"]
        data = np.asarray(counts, dtype=np.uint64) * scans
        wide = scans > 1
        header = HEADER.pack(STX, START_WORD, int(wide), scans, self._values["I"], 0, 0, 0)
        body = np.minimum(data, 2**32 - 1 if wide else 65_535)
        tail = struct.pack(">H", END_WORD)
        if self._values["k"]:
            tail += struct.pack(">H", (int(body.sum()) + wrong_checksum) & 0xFFFF)
        return header + body.astype(">u4" if wide else ">u2").tobytes() + tail

    def refusal(self) -> bytes:
        """See `Board`."""
        return bytes([ETX])

    def end_of_replay(self) -> bytes:
        """See `Board`; the protocol knows no difference to any other refusal."""
        return bytes([ETX])

    def garbage(self, noise: bytes) -> bytes:
        """See `Board`."""
        return bytes([STX, 0xFF, 0xFF]) + noise
