"""Codecs: what comes back, and what damaged or hostile bytes do."""

from __future__ import annotations

import zlib

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from specnet.codec import CODECS, LEVELS, EncodedFeatures, decode_features, encode_features
from specnet.errors import CodecError

SHAPES = array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=24)
FEATURES = arrays(np.float32, SHAPES, elements=st.floats(-6e4, 6e4, width=32))


def _features(positions: int = 63, channels: int = 8) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.standard_normal((positions, channels)) * np.geomspace(0.01, 100, channels)).astype(np.float32)


@settings(max_examples=80, deadline=None)
@given(FEATURES)
def test_float32_comes_back_bit_by_bit(features: np.ndarray) -> None:
    back = decode_features(encode_features("float32", features), features.shape)
    np.testing.assert_array_equal(back, features)


@settings(max_examples=80, deadline=None)
@given(FEATURES)
def test_float16_comes_back_rounded_to_eleven_bits(features: np.ndarray) -> None:
    back = decode_features(encode_features("float16", features), features.shape)
    np.testing.assert_allclose(back, features, rtol=2**-11, atol=2**-25)


@settings(max_examples=80, deadline=None)
@given(FEATURES)
def test_int8_is_off_by_at_most_half_a_step_of_its_channel(features: np.ndarray) -> None:
    back = decode_features(encode_features("int8", features), features.shape)
    span = features.max(axis=0).astype(np.float64) - features.min(axis=0)
    # beside half a step, float32 cannot place low + level * step better than its own rounding
    rounding = 4 * np.finfo(np.float32).eps * np.abs(features).max(axis=0) + np.finfo(np.float32).tiny
    assert (np.abs(back - features.astype(np.float64)) <= span / LEVELS / 2 * (1 + 1e-5) + rounding).all()


def test_int8_gives_a_constant_channel_back_exactly() -> None:
    features = np.full((10, 2), 3.25, dtype=np.float32)
    np.testing.assert_array_equal(decode_features(encode_features("int8", features), (10, 2)), features)


@pytest.mark.parametrize("codec", sorted(CODECS))
def test_a_view_of_features_is_encoded_like_its_copy(codec: str) -> None:
    wide = _features(64, 16)
    assert encode_features(codec, wide[::2, ::2]) == encode_features(codec, wide[::2, ::2].copy())


@pytest.mark.parametrize("codec", sorted(CODECS))
def test_every_flipped_bit_is_noticed(codec: str) -> None:
    encoded = encode_features(codec, _features(9, 3))
    for position in range(len(encoded.data)):
        damaged = bytearray(encoded.data)
        damaged[position] ^= 1 << (position % 8)
        with pytest.raises(CodecError, match="checksum"):
            decode_features(msgspec.structs.replace(encoded, data=bytes(damaged)), (9, 3))


def _forged(codec: str, shape: tuple[int, int], data: bytes) -> EncodedFeatures:
    """What a hostile sender makes: the checksum is right."""
    return EncodedFeatures(codec, shape, data, zlib.crc32(data))


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(sorted(CODECS)))
def test_arbitrary_bytes_with_a_right_checksum_raise_or_give_finite_features(data: bytes, codec: str) -> None:
    try:
        features = decode_features(_forged(codec, (5, 3), data), (5, 3))
    except CodecError:
        return
    assert features.shape == (5, 3)
    assert np.isfinite(features).all()


@pytest.mark.parametrize("codec", sorted(CODECS))
@pytest.mark.parametrize("cut", [0, 1, 10, -1])
def test_truncated_bytes_are_refused(codec: str, cut: int) -> None:
    encoded = encode_features(codec, _features())
    with pytest.raises(CodecError):
        decode_features(_forged(codec, encoded.shape, encoded.data[:cut]), encoded.shape)


def test_bytes_after_the_deflated_levels_are_refused() -> None:
    encoded = encode_features("int8", _features())
    with pytest.raises(CodecError, match="levels, expected 504"):
        decode_features(_forged("int8", encoded.shape, encoded.data + b"\x00"), encoded.shape)


def test_a_deflate_bomb_is_inflated_no_further_than_the_shape() -> None:
    header = np.zeros((2, 3), dtype="<f4").tobytes()
    bomb = header + zlib.compress(bytes(50_000_000), 9)
    assert len(bomb) < 60_000
    with pytest.raises(CodecError, match="inflate to 16 levels, expected 15"):
        decode_features(_forged("int8", (5, 3), bomb), (5, 3))


@pytest.mark.parametrize(("row", "value"), [(0, np.nan), (1, np.inf), (1, -1.0)])
def test_int8_channel_ranges_must_make_sense(row: int, value: float) -> None:
    encoded = encode_features("int8", _features(9, 3))
    header = np.frombuffer(encoded.data[:24], dtype="<f4").reshape(2, 3).copy()
    header[row, 1] = value
    with pytest.raises(CodecError, match="channel ranges"):
        decode_features(_forged("int8", (9, 3), header.tobytes() + encoded.data[24:]), (9, 3))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("codec", sorted(CODECS))
def test_features_that_are_not_finite_are_refused_on_both_sides(codec: str, value: float) -> None:
    features = _features(4, 2)
    features[1, 1] = value
    with pytest.raises(CodecError, match="features are not finite"):
        encode_features(codec, features)
    if codec != "int8":
        data = features.astype("<f4" if codec == "float32" else "<f2").tobytes()
        with pytest.raises(CodecError, match="decoded features are not finite"):
            decode_features(_forged(codec, (4, 2), data), (4, 2))


def test_a_feature_beyond_float16_is_refused_rather_than_made_infinite() -> None:
    with pytest.raises(CodecError, match="does not fit float16"):
        encode_features("float16", np.array([[7e4]], dtype=np.float32))


def test_a_shape_other_than_the_expected_one_is_refused_before_decoding() -> None:
    encoded = encode_features("float32", _features(6, 4))
    with pytest.raises(CodecError, match=r"got features of shape \(6, 4\), expected \(4, 6\)"):
        decode_features(encoded, (4, 6))


@pytest.mark.parametrize("shape", [(0, 4), (4, -1), (1 << 12, 1 << 12)])
def test_announced_shapes_outside_the_limit_are_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="are outside"):
        EncodedFeatures("float32", shape, b"", 0)


def test_unknown_codecs_are_refused() -> None:
    with pytest.raises(CodecError, match="unknown codec 'jpeg'; known: float32, float16, int8"):
        encode_features("jpeg", _features())
    with pytest.raises(CodecError, match="unknown codec 'jpeg'"):
        decode_features(EncodedFeatures("jpeg", (1, 1), b"", 0), (1, 1))
    with pytest.raises(ValueError, match="a codec's name is 1 to 32"):
        EncodedFeatures("no/name", (1, 1), b"", 0)


def test_encoded_features_survive_msgpack() -> None:
    encoded = encode_features("int8", _features())
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(encoded), type=EncodedFeatures) == encoded


def test_int8_is_the_smallest_codec() -> None:
    sizes = {codec: len(encode_features(codec, _features()).data) for codec in CODECS}
    assert sizes["int8"] < sizes["float16"] < sizes["float32"] == 63 * 8 * 4
