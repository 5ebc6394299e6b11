"""The running state of an exit policy in few bytes: log-probabilities on steps that grow with unlikeliness.

A class that is 9 nats behind will hardly win any more; whether it is 9 or 15 behind matters to nobody. What a class is
behind the best one is therefore rounded to `STEPS`, and entropy-coded with whichever of `TABLES` makes it shortest.

Legend: S size of the state.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from specnet.codec.rans import FrequencyTables
from specnet.errors import CodecError

Float32 = NDArray[np.float32]
STEPS = np.array([0, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4, 6, 9], dtype=np.float32)
"""Nats behind the likeliest class."""
_NOTHING: Float32 = np.empty(0, dtype=np.float32)
_EDGES = (STEPS[1:] + STEPS[:-1]) / 2
_CENTRES, _WIDTHS = (2, 5, 7, 8, 9, 10), (1, 2, 4)


def _bumps() -> FrequencyTables:
    """Bumps of several widths about several steps, halved every `width` steps: whole numbers on every platform."""
    rows = [
        [(1 << 20) >> (abs(step - centre) // width) for step in range(len(STEPS))]
        for centre in _CENTRES
        for width in _WIDTHS
    ]
    return FrequencyTables.from_counts(np.array(rows))


TABLES = _bumps()


@dataclass(frozen=True)
class StateLayout:
    """Parts of a state, one after the other.

    Parameters
    ----------
    blocks
        Length of each part, and whether it is a log-probability (or logit) a class; other numbers are kept as they are.
    """

    blocks: tuple[tuple[int, bool], ...]

    @property
    def size(self) -> int:
        """Length S of the whole state."""
        return sum(length for length, _ in self.blocks)

    def encode(self, state: Float32) -> bytes:
        """Bytes of a finite state ``(S,)``.

        Raises
        ------
        CodecError
            When it has another length or is not finite.
        """
        if state.shape != (self.size,) or not np.isfinite(state).all():
            raise CodecError(
                f"an exit state has shape {state.shape} (finite: {np.isfinite(state).all()}), expected ({self.size},)"
            )
        plain, levels, at = [], [], 0
        for length, by_class in self.blocks:
            part = state[at : at + length]
            at += length
            if by_class and length:
                best = part.max()
                plain.append(_shortened(best))
                levels.append(np.searchsorted(_EDGES, best - part))
            else:
                plain.append(part.astype("<f4").tobytes())
        head = b"".join(plain)
        if not levels:
            return head
        symbols = np.concatenate(levels)
        table = int((TABLES.bits @ np.bincount(symbols, minlength=len(STEPS))).argmin())
        return head + bytes([table]) + TABLES.encode(symbols, np.full(len(symbols), table))

    def decode(self, data: bytes) -> Float32:
        """State ``(S,)`` out of bytes; `CodecError` when they cannot be one."""
        (found,) = self.decode_many([data])
        if isinstance(found, CodecError):
            raise found
        return found

    def decode_many(self, data: Sequence[bytes]) -> list[Float32 | CodecError]:
        """State ``(S,)`` of each, or what is wrong with its bytes; the arithmetic is done for all at once."""
        found: list[Float32 | CodecError] = []
        read: dict[int, tuple[list[float], list[int]]] = {}
        for number, one in enumerate(data):
            try:
                read[number] = self._read(one)
                found.append(_NOTHING)
            except CodecError as error:
                found.append(error)
        if not read:
            return found
        plain = np.array([numbers for numbers, _ in read.values()], dtype=np.float32).reshape(len(read), -1)
        behind = STEPS[np.array([symbols for _, symbols in read.values()], dtype=np.int64).reshape(len(read), -1)]
        parts, place, used = [], 0, 0
        for length, by_class in self.blocks:
            if by_class and length:
                parts.append(plain[:, place : place + 1] - behind[:, used : used + length])
                place, used = place + 1, used + length
            elif length:
                parts.append(plain[:, place : place + length])
                place += length
        states = np.concatenate(parts, axis=1) if parts else plain
        for number, state in zip(read, states, strict=True):
            found[number] = state
        return found

    def _read(self, data: bytes) -> tuple[list[float], list[int]]:
        """Finite numbers that are sent as they are, the best of each part by class among them; and coded steps."""
        head = sum(2 if by_class else 4 * length for length, by_class in self.blocks if length)
        n_levels = sum(length for length, by_class in self.blocks if by_class)
        if len(data) < head or (not n_levels and len(data) != head):
            raise CodecError(f"got {len(data)} bytes of exit state, expected {head} and {n_levels} coded numbers")
        numbers: list[float] = []
        place = 0
        for length, by_class in self.blocks:
            if by_class and length:
                # the lower half of a float32 was not sent
                numbers += struct.unpack("<f", b"\x00\x00" + data[place : place + 2])
                place += 2
            elif length:
                numbers += struct.unpack_from(f"<{length}f", data, place)
                place += 4 * length
        if not all(map(math.isfinite, numbers)):
            raise CodecError("decoded exit state is not finite")
        if not n_levels:
            return numbers, []
        table = data[head] if len(data) > head else TABLES.n_tables
        if table >= TABLES.n_tables:
            raise CodecError(f"exit state names table {table}, there are {TABLES.n_tables}")
        reader = TABLES.reader(data[head + 1 :])
        symbols = reader.take([table] * n_levels)
        reader.close()
        return numbers, symbols


def _shortened(value: np.float32) -> bytes:
    """Upper half of a float32, rounded: the range of float32 with 8 digits."""
    bits = int(np.array(value, dtype="<f4").view("<u4"))
    return min((bits + 0x8000) >> 16, 0xFF7F if bits >> 31 else 0x7F7F).to_bytes(2, "little")
