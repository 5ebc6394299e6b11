"""Raw spectra: bit by bit, and small."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from specnet.codec import pack_spectrum, unpack_spectrum
from specnet.errors import CodecError


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(
        arrays(np.uint16, st.integers(1, 80)),
        arrays(np.uint32, st.integers(1, 80)),
        arrays(np.int64, st.integers(1, 80), elements=st.integers(-(2**52), 2**52)),
        arrays(np.float32, st.integers(1, 80), elements=st.floats(-(2.0**99), 2.0**99, width=32)),
    )
)
def test_intensities_come_back_as_they_are(intensity: np.ndarray) -> None:
    back = unpack_spectrum(pack_spectrum(intensity), len(intensity))
    np.testing.assert_array_equal(back, intensity)


def test_counts_take_less_than_as_they_are_or_deflated() -> None:
    rng = np.random.default_rng(0)
    smooth = 3000 + 2000 * np.exp(-(((np.arange(1000) - 400) / 60) ** 2))
    counts = rng.poisson(smooth).astype(np.uint16)
    assert len(pack_spectrum(counts)) < 0.75 * counts.nbytes
    assert len(pack_spectrum(counts)) < len(zlib.compress(counts.tobytes(), 9))
    assert pack_spectrum(counts) == pack_spectrum(counts.astype(np.float32))  # counts, however they are stored


@pytest.mark.parametrize(
    ("intensity", "message"),
    [
        (np.zeros((2, 2)), r"shape \(2, 2\)"),
        (np.zeros(0), r"shape \(0,\)"),
        (np.array([1.0, np.nan]), "not finite"),
    ],
)
def test_what_is_no_spectrum_is_refused(intensity: np.ndarray, message: str) -> None:
    with pytest.raises(CodecError, match=message):
        pack_spectrum(intensity)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "got nothing"),
        (b"\x07\x02", "got 0702"),
        (b"\x00\x02", "got 0002"),
        (b"\x01\x02nonsense", "does not inflate"),
        (b"\x01\x02" + zlib.compress(bytes(20)), "inflates to 9 bytes, expected 8"),
        (b"\x01\x02" + zlib.compress(bytes(6)), "inflates to 6 bytes, expected 8"),
        (b"\x01\x02" + zlib.compress(bytes(8)) + b"x", "inflates to 8 bytes"),
    ],
)
def test_bytes_that_are_no_spectrum_say_why(data: bytes, message: str) -> None:
    with pytest.raises(CodecError, match=message):
        unpack_spectrum(data, 4)


def test_a_bomb_is_not_unpacked() -> None:
    with pytest.raises(CodecError, match="inflates to 9 bytes, expected 8"):
        unpack_spectrum(b"\x01\x02" + zlib.compress(bytes(1 << 24), 9), 4)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80), st.integers(1, 40))
def test_any_bytes_end_in_a_spectrum_or_in_an_error(data: bytes, n_points: int) -> None:
    try:
        spectrum = unpack_spectrum(data, n_points)
    except CodecError:
        return
    assert spectrum.shape == (n_points,)
