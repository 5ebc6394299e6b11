"""The codec of a bottleneck: its arithmetic, its bytes, and what does not fit."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specnet.codec import BottleneckInfo, FrequencyTables, LearnedCodec, decode_features, encode_features
from specnet.errors import CodecError

POSITIONS, CHANNELS, PATCH, LATENT, LEVELS, HIDDEN, TABLES = 30, 4, 8, 3, 7, 10, 5
PATCHES = 4


def arrays(seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    width = PATCH * CHANNELS

    def some(*shape: int, scale: float = 1.0) -> np.ndarray:
        return (scale * rng.standard_normal(shape)).astype(np.float32)

    return {
        "encoder": some(width, LATENT, scale=0.5),
        "gain": np.abs(some(PATCHES, LATENT)) + 0.5,
        "offset": some(PATCHES, LATENT),
        "spread": some(PATCHES, LATENT),
        "hidden": some(3 * LATENT, HIDDEN),
        "place": some(PATCHES, HIDDEN),
        "output": some(HIDDEN, width),
        "base": some(PATCHES, width),
        "frequencies": FrequencyTables.from_counts(rng.integers(0, 50, (TABLES + 1, 2 * LEVELS + 1))).frequencies,
        "table_of": rng.integers(0, TABLES, (PATCHES, LATENT)).astype(np.uint8),
    }


def info(**changes: Any) -> BottleneckInfo:
    fields: dict[str, Any] = {
        "file": "bottlenecks/b.npz",
        "split": 1,
        "shape": (POSITIONS, CHANNELS),
        "patch": PATCH,
        "latent": LATENT,
        "levels": LEVELS,
        "hidden": HIDDEN,
    }
    return BottleneckInfo(**{**fields, **changes})


def codec(**changes: Any) -> LearnedCodec:
    return LearnedCodec.from_arrays(info(**changes), arrays())


def features(seed: int, scale: float = 1.0) -> np.ndarray:
    return (scale * np.random.default_rng(seed).standard_normal((POSITIONS, CHANNELS))).astype(np.float32)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 1 << 30), st.floats(0, 1e6))
def test_the_gateway_gets_the_whole_numbers_that_the_device_rounded(seed: int, scale: float) -> None:
    one, sent = codec(), features(seed, scale)
    symbols = one.symbols(sent)
    np.testing.assert_array_equal(one.read_symbols(one.encode(sent)), symbols)
    np.testing.assert_array_equal(one.decode(one.encode(sent), sent.shape), one.restore(symbols))
    assert np.abs(symbols).max() <= LEVELS


def test_the_arithmetic_is_what_the_docstring_says() -> None:
    """Position by position, with loops."""
    one, sent = codec(), features(3)
    padded = np.vstack([sent, np.zeros((PATCHES * PATCH - POSITIONS, CHANNELS), np.float32)]).astype(np.float64)
    symbols = np.zeros((PATCHES, LATENT))
    for q in range(PATCHES):
        patch = padded[q * PATCH : (q + 1) * PATCH].ravel()
        for c in range(LATENT):
            value = patch @ one.encoder[:, c].astype(float) * one.gain[q, c] + one.offset[q, c]
            symbols[q, c] = min(max(round(value), -LEVELS), LEVELS)
    np.testing.assert_array_equal(one.symbols(sent), symbols)
    expected = np.zeros((PATCHES * PATCH, CHANNELS))
    scaled = np.vstack([np.zeros(LATENT), symbols * one.spread, np.zeros(LATENT)])
    for q in range(PATCHES):
        hidden = np.maximum(np.concatenate(scaled[q : q + 3]) @ one.hidden + one.place[q], 0)
        expected[q * PATCH : (q + 1) * PATCH] = (hidden @ one.output + one.base[q]).reshape(PATCH, CHANNELS)
    np.testing.assert_allclose(one.restore(one.symbols(sent)), expected[:POSITIONS], rtol=1e-4, atol=1e-4)


def test_many_are_restored_at_once_as_one_by_one() -> None:
    one = codec()
    symbols = np.stack([one.symbols(features(seed)) for seed in range(5)])
    together = one.restore(symbols)
    for row in range(5):
        np.testing.assert_allclose(together[row], one.restore(symbols[row]), rtol=1e-5, atol=1e-5)


def test_halted_patches_are_not_sent() -> None:
    one, sent = codec(skips_halted=True), features(0, 3.0)
    active = np.zeros(POSITIONS, dtype=bool)
    active[PATCH + 1] = active[POSITIONS - 1] = True
    np.testing.assert_array_equal(one.sent(active), [False, True, False, True])
    symbols = one.read_symbols(one.encode(sent, active))
    np.testing.assert_array_equal(symbols[[1, 3]], one.symbols(sent)[[1, 3]])
    assert not symbols[[0, 2]].any()
    assert len(one.encode(sent, active)) < len(one.encode(sent, np.ones(POSITIONS, dtype=bool)))
    assert len(one.encode(sent, np.zeros(POSITIONS, dtype=bool))) < 8
    np.testing.assert_array_equal(one.read_symbols(one.encode(sent)), one.symbols(sent))  # nothing halts: all is sent


@pytest.mark.parametrize("skips_halted", [False, True])
def test_damage_never_becomes_features(skips_halted: bool) -> None:
    """A checksum stands in front; behind it the coder notices most of what is left."""
    one = codec(skips_halted=skips_halted)
    encoded = encode_features("b", features(0), {"b": one})
    assert decode_features(encoded, (POSITIONS, CHANNELS), {"b": one}).shape == (POSITIONS, CHANNELS)
    for place in range(len(encoded.data)):
        bad = bytearray(encoded.data)
        bad[place] ^= 0x10
        with pytest.raises(CodecError, match="checksum"):
            decode_features(msgspec.structs.replace(encoded, data=bytes(bad)), (POSITIONS, CHANNELS), {"b": one})


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60), st.booleans())
def test_any_bytes_end_in_features_or_in_an_error(data: bytes, skips_halted: bool) -> None:
    try:
        found = codec(skips_halted=skips_halted).decode(data, (POSITIONS, CHANNELS))
    except CodecError:
        return
    assert found.shape == (POSITIONS, CHANNELS)
    assert np.isfinite(found).all()


def test_features_of_another_shape_are_refused() -> None:
    with pytest.raises(CodecError, match=r"got features of shape \(3, 2\), expected \(30, 4\)"):
        codec().encode(np.zeros((3, 2), np.float32))
    with pytest.raises(CodecError, match=r"for features of shape \(30, 4\), expected are \(3, 2\)"):
        codec().decode(b"", (3, 2))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gain": np.zeros((2, 2), np.float32)}, r"gain of a bottleneck is \(2, 2\), expected \(4, 3\)"),
        ({"base": np.full((PATCHES, PATCH * CHANNELS), np.nan, np.float32)}, "base of a bottleneck is not finite"),
        ({"place": np.zeros((PATCHES, HIDDEN), int)}, "expected floating point"),
        ({"table_of": np.full((PATCHES, LATENT), TABLES, np.uint8)}, "name table 5, there are 5"),
        ({"table_of": np.zeros((PATCHES, LATENT), np.int64)}, "expected uint8"),
        ({"frequencies": np.ones((2, 3), int)}, "sum to 4096"),
        ({"frequencies": FrequencyTables.from_counts(np.ones((6, 3), int)).frequencies}, "have 3 symbols, expected 15"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(CodecError, match=message):
        LearnedCodec.from_arrays(info(), {**arrays(), **changes})


def test_what_is_missing_is_named() -> None:
    lacking = arrays()
    del lacking["spread"], lacking["frequencies"]
    with pytest.raises(CodecError, match="lacks frequencies, spread"):
        LearnedCodec.from_arrays(info(), lacking)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"patch": 0}, "patch of a bottleneck is 0"),
        ({"shape": (0, 4)}, "positions of a bottleneck is 0"),
        ({"shape": (60_000, 60_000)}, "more than 1048576 numbers"),
        ({"levels": 200}, "levels of a bottleneck are 200, expected 1 to 127"),
    ],
)
def test_sizes_are_limited(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        info(**changes)
