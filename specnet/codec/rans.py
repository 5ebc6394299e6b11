"""Entropy coding of small integers with static tables: byte-wise range asymmetric numeral systems (rANS).

Duda 2013, "Asymmetric numeral systems" (arXiv 1311.2540), section 4.1. Everything is integer arithmetic on 32 bits, so
the same symbols give the same bytes on every platform and in every language; the loops are written to be carried over
to C as they stand. The encoder starts from a fixed state and the decoder must come back to it, which finds nearly all
damage that a checksum in front of it would have let through.

Legend: n symbols, T tables, S symbols of an alphabet.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from specnet.errors import CodecError

PRECISION = 12
"""Probabilities are multiples of ``2 ** -PRECISION``."""
SCALE = 1 << PRECISION
LOWEST = 1 << 23
"""States lie in ``LOWEST .. 256 * LOWEST - 1``: 32 bits hold them."""
STATE_BYTES = 4
MAX_ALPHABET = 1024
Numbers = Sequence[int] | NDArray[np.integer[Any]]


class FrequencyTables:
    """Static probabilities of T alphabets of S symbols each.

    Parameters
    ----------
    frequencies
        ``(T, S)`` whole numbers, at least 1, that sum to `SCALE` in every row: no symbol is impossible, so everything
        can be encoded, at a price.

    Raises
    ------
    CodecError
        When they are anything else.
    """

    def __init__(self, frequencies: ArrayLike) -> None:
        table = np.asarray(frequencies)
        if table.ndim != 2 or not np.issubdtype(table.dtype, np.integer):
            raise CodecError(
                f"frequencies are whole numbers (tables, symbols), got {table.dtype} of shape {table.shape}"
            )
        if not 1 <= table.shape[1] <= MAX_ALPHABET or not len(table):
            raise CodecError(f"got {table.shape[0]} tables of {table.shape[1]} symbols, expected 1 to {MAX_ALPHABET}")
        wide = table.astype(np.int64)
        if (wide < 1).any() or (wide.sum(axis=1) != SCALE).any():
            raise CodecError(f"frequencies are at least 1 and sum to {SCALE}, got rows that sum to {wide.sum(axis=1)}")
        self.frequencies: NDArray[np.uint16] = table.astype(np.uint16)

    @classmethod
    def from_counts(cls, counts: ArrayLike) -> FrequencyTables:
        """Tables for observed whole counts ``(T, S)``; what was never seen keeps the smallest probability.

        Raises
        ------
        CodecError
            When a count is negative or not whole.
        """
        rows = np.asarray(counts)
        if rows.ndim != 2 or not np.issubdtype(rows.dtype, np.integer) or (rows < 0).any():
            raise CodecError(f"counts are whole numbers from 0 (tables, symbols), got {rows.dtype} {rows.shape}")
        free = SCALE - rows.shape[1]
        frequencies = []
        for row in rows.tolist():
            total = sum(row)
            if not total:
                row, total = [1] * len(row), len(row)
            shares = [1 + count * free // total for count in row]
            shares[row.index(max(row))] += SCALE - sum(shares)  # what rounding down left over
            frequencies.append(shares)
        return cls(np.array(frequencies))

    @property
    def n_tables(self) -> int:
        """Number of tables T."""
        return len(self.frequencies)

    @property
    def n_symbols(self) -> int:
        """Size S of the alphabet."""
        return int(self.frequencies.shape[1])

    @cached_property
    def bits(self) -> NDArray[np.float64]:
        """Bits ``(T, S)`` that each symbol costs."""
        return PRECISION - np.log2(self.frequencies.astype(np.float64))

    @cached_property
    def _lists(self) -> list[list[int]]:
        return [[int(f) for f in row] for row in self.frequencies]

    @cached_property
    def _starts(self) -> list[list[int]]:
        sums = np.cumsum(self.frequencies.astype(np.int64), axis=1) - self.frequencies
        return [[int(s) for s in row] for row in sums]

    @cached_property
    def _symbols(self) -> list[Sequence[int]]:
        """Symbol of every slot ``0 .. SCALE - 1`` of each table."""
        found = (np.repeat(np.arange(self.n_symbols), row) for row in self.frequencies.astype(np.int64))
        return [one.astype(np.uint8).tobytes() if self.n_symbols <= 256 else one.tolist() for one in found]

    def encode(self, symbols: Numbers, tables: Numbers) -> bytes:
        """Bytes of n symbols, each by the table of the same place.

        Raises
        ------
        CodecError
            When a symbol is outside the alphabet or there are not as many tables as symbols.
        """
        values, which = np.asarray(symbols), np.asarray(tables)
        if values.shape != which.shape or values.ndim != 1:
            raise CodecError(f"got {values.shape} symbols and {which.shape} tables, expected as many of both")
        if len(values) and not (values.min() >= 0 and values.max() < self.n_symbols):
            raise CodecError(f"symbols are 0 to {self.n_symbols - 1}, got {values.min()} to {values.max()}")
        frequencies, starts = self._lists, self._starts
        state, out = LOWEST, bytearray()
        for symbol, table in zip(values[::-1].tolist(), which[::-1].tolist(), strict=True):
            frequency = frequencies[table][symbol]
            limit = frequency << (31 - PRECISION)
            while state >= limit:
                out.append(state & 0xFF)
                state >>= 8
            state = ((state // frequency) << PRECISION) + state % frequency + starts[table][symbol]
        out += state.to_bytes(STATE_BYTES, "little")
        out.reverse()
        return bytes(out)

    def decode(self, data: bytes, tables: Numbers) -> NDArray[np.int64]:
        """Symbols ``(n,)`` out of bytes, one for each entry of `tables`.

        Raises
        ------
        CodecError
            When the bytes are too few, too many, or do not lead back to where an encoder begins.
        """
        reader = self.reader(data)
        symbols = reader.read(tables)
        reader.close()
        return symbols

    def reader(self, data: bytes) -> SymbolReader:
        """Read symbols in parts, where what comes next depends on what came before; errors as `decode`."""
        return SymbolReader(data, self._lists, self._starts, self._symbols)


class SymbolReader:
    """Takes symbols out of bytes, as `FrequencyTables.encode` wrote them."""

    def __init__(
        self, data: bytes, frequencies: list[list[int]], starts: list[list[int]], slots: list[Sequence[int]]
    ) -> None:
        if len(data) < STATE_BYTES:
            raise CodecError(f"got {len(data)} bytes of entropy-coded symbols, expected at least {STATE_BYTES}")
        self._data, self._at = data, STATE_BYTES
        self._state = int.from_bytes(data[:STATE_BYTES], "big")
        self._frequencies, self._starts, self._slots = frequencies, starts, slots
        if not LOWEST <= self._state < LOWEST << 8:
            raise CodecError(f"entropy-coded symbols are damaged: no encoder ends in state {self._state:#x}")

    def read(self, tables: Numbers) -> NDArray[np.int64]:
        """Symbols ``(n,)`` by the given tables; `CodecError` when the bytes end before."""
        return np.array(self.take(np.asarray(tables).tolist()), dtype=np.int64)

    def take(self, tables: Sequence[int]) -> list[int]:
        """As `read`, without arrays."""
        frequencies, starts, slots = self._frequencies, self._starts, self._slots
        data, end = self._data, len(self._data)
        state, at, symbols = self._state, self._at, []
        for table in tables:
            slot = state & (SCALE - 1)
            symbol = slots[table][slot]
            symbols.append(symbol)
            state = frequencies[table][symbol] * (state >> PRECISION) + slot - starts[table][symbol]
            while state < LOWEST:
                if at == end:
                    raise CodecError(f"{end} bytes of entropy-coded symbols end before all symbols are read")
                state = (state << 8) | data[at]
                at += 1
        self._state, self._at = state, at
        return symbols

    def close(self) -> None:
        """Check that everything was read; `CodecError` when bytes are left or the state is no encoder's first."""
        left = len(self._data) - self._at
        if left or self._state != LOWEST:
            raise CodecError(f"entropy-coded symbols are damaged: {left} bytes are left over, state {self._state:#x}")
