"""Entropy coding: what comes back, how long it is, and what damage does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specnet.codec.rans import LOWEST, SCALE, STATE_BYTES, FrequencyTables
from specnet.errors import CodecError


def tables(n_tables: int = 4, n_symbols: int = 31, seed: int = 0) -> FrequencyTables:
    rng = np.random.default_rng(seed)
    return FrequencyTables.from_counts(rng.geometric(0.05, (n_tables, n_symbols)) ** 2)


@settings(max_examples=150, deadline=None)
@given(data=st.data(), n_tables=st.integers(1, 5), n_symbols=st.integers(1, 300), n=st.integers(0, 200))
def test_symbols_come_back(data: st.DataObject, n_tables: int, n_symbols: int, n: int) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 1 << 30)))
    coder = FrequencyTables.from_counts(rng.integers(0, 1000, (n_tables, n_symbols)))
    symbols, which = rng.integers(0, n_symbols, n), rng.integers(0, n_tables, n)
    np.testing.assert_array_equal(coder.decode(coder.encode(symbols, which), which), symbols)


def test_the_length_is_that_of_the_information() -> None:
    """A code cannot be shorter than the entropy, and this one is hardly longer: the state costs four bytes."""
    coder, rng = tables(), np.random.default_rng(1)
    which = rng.integers(0, coder.n_tables, 5000)
    symbols = np.array([rng.choice(coder.n_symbols, p=coder.frequencies[t] / SCALE) for t in which])
    bits = coder.bits[which, symbols].sum()
    size = len(coder.encode(symbols, which))
    assert bits / 8 - 1 <= size <= bits / 8 * 1.002 + STATE_BYTES


def test_a_message_worked_out_by_hand() -> None:
    """Two symbols of one half each: every symbol is the next bit under the state's leading one."""
    coder = FrequencyTables([[SCALE // 2, SCALE // 2]])
    # x -> (x // 2048 << 12) + x % 2048 + start; from 2^23 the symbol 1 gives 2^24 + 2048, and then 0 gives 2^25 + 4096
    assert coder.encode([1], [0]) == (2 * LOWEST + 2048).to_bytes(4, "big")
    assert coder.encode([0, 1], [0, 0]) == (4 * LOWEST + 4096).to_bytes(4, "big")
    assert coder.encode([], []) == LOWEST.to_bytes(4, "big")


def test_counts_become_probabilities_that_exclude_nothing() -> None:
    coder = FrequencyTables.from_counts(np.array([[0, 0, 1000], [0, 0, 0], [1, 1, 2]]))
    assert (coder.frequencies.sum(axis=1) == SCALE).all()
    assert (coder.frequencies >= 1).all()
    assert coder.frequencies[0].tolist() == [1, 1, SCALE - 2]
    assert np.ptp(coder.frequencies[1].astype(int)) <= 2
    assert coder.frequencies[2, 2] == pytest.approx(SCALE / 2, abs=2)


def test_damage_is_noticed_nearly_always() -> None:
    coder, rng = tables(), np.random.default_rng(2)
    which, symbols = rng.integers(0, 4, 300), rng.integers(0, 31, 300)
    good = coder.encode(symbols, which)
    unnoticed = 0
    for place in range(len(good)):
        bad = bytearray(good)
        bad[place] ^= 1 << int(rng.integers(8))
        try:
            coder.decode(bytes(bad), which)
        except CodecError:
            continue
        unnoticed += 1
    assert unnoticed <= 0.1 * len(good)  # what is left is for the checksum of the message


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=200), n=st.integers(0, 400))
def test_any_bytes_end_in_symbols_or_in_an_error(data: bytes, n: int) -> None:
    coder = tables()
    try:
        symbols = coder.decode(data, np.zeros(n, dtype=np.int64))
    except CodecError:
        return
    assert coder.encode(symbols, np.zeros(n, dtype=np.int64)) == data


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "got 0 bytes of entropy-coded symbols, expected at least 4"),
        (b"\x00\x00\x00\x01", "no encoder ends in state 0x1"),
        (b"\xff\xff\xff\xff", "no encoder ends in state 0xffffffff"),
        (LOWEST.to_bytes(4, "big") + b"x", "1 bytes are left over"),
    ],
)
def test_bytes_that_no_encoder_writes_say_what_is_wrong(data: bytes, message: str) -> None:
    with pytest.raises(CodecError, match=message):
        tables().decode(data, [])


@pytest.mark.parametrize(
    ("frequencies", "message"),
    [
        ([[SCALE - 1, 0, 1]], "at least 1"),
        ([[1, 2, 3]], "sum to 4096"),
        ([1, 2], "whole numbers"),
        ([[0.5, 0.5]], "whole numbers"),
        (np.ones((1, 2000), dtype=int), "of 2000 symbols, expected 1 to 1024"),
        (np.ones((0, 2), dtype=int), "0 tables"),
    ],
)
def test_tables_that_are_none_are_refused(frequencies: object, message: str) -> None:
    with pytest.raises(CodecError, match=message):
        FrequencyTables(frequencies)  # type: ignore[arg-type]


def test_symbols_outside_the_alphabet_are_refused() -> None:
    coder = tables()
    with pytest.raises(CodecError, match="symbols are 0 to 30, got 0 to 31"):
        coder.encode([0, 31], [0, 0])
    with pytest.raises(CodecError, match="expected as many of both"):
        coder.encode([0, 1], [0])
    with pytest.raises(CodecError, match="counts are whole numbers"):
        FrequencyTables.from_counts(np.array([[-1, 1]]))
