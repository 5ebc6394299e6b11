"""A raw spectrum without loss: differences of neighbours, bytes of equal weight together, deflated.

What a device sends when nothing of the network runs on it, and what every bottleneck has to be compared with.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specnet.errors import CodecError

MAX_POINTS = 1 << 20
_WIDTHS = (1, 2, 4, 8)
_REAL, _WHOLE = 0, 1
_LEVEL = 9


def pack_spectrum(intensity: NDArray[Any]) -> bytes:
    """Bytes of intensities ``(n_points,)``.

    Whole numbers (detector counts, also when they are stored as floating point) become differences in as few bytes as
    the largest needs; real numbers are kept as float32.

    Raises
    ------
    CodecError
        When there are none, too many, or one is not finite.
    """
    values = np.asarray(intensity)
    if values.ndim != 1 or not 1 <= len(values) <= MAX_POINTS:
        raise CodecError(f"a spectrum is 1 to {MAX_POINTS} intensities, got shape {values.shape}")
    if not np.isfinite(values).all():
        raise CodecError("intensities are not finite")
    if np.abs(values).max() < 2**53 and (values == np.rint(values)).all():
        whole = values.astype(np.int64)
        steps = np.diff(whole, prepend=np.int64(0))
        folded = ((steps << 1) ^ (steps >> 63)).astype(np.uint64)  # small numbers of either sign become small ones
        width = next(width for width in _WIDTHS if int(folded.max()) < 1 << (8 * width))
        return bytes([_WHOLE, width]) + _deflated(folded.astype(f"<u{width}"))
    return bytes([_REAL, 4]) + _deflated(values.astype("<f4"))


def unpack_spectrum(data: bytes, n_points: int) -> NDArray[Any]:
    """Intensities ``(n_points,)`` out of bytes: int64 counts or float32.

    Raises
    ------
    CodecError
        When the bytes cannot be so many intensities.
    """
    if len(data) < 2 or data[0] not in (_REAL, _WHOLE) or data[1] not in _WIDTHS or (data[0] == _REAL and data[1] != 4):
        raise CodecError(f"a packed spectrum begins with its kind and width, got {data[:2].hex() or 'nothing'}")
    size, inflate = n_points * data[1], zlib.decompressobj()
    try:
        shuffled = inflate.decompress(data[2:], size + 1)
    except zlib.error as error:
        raise CodecError(f"a packed spectrum does not inflate: {error}") from error
    if len(shuffled) != size or not inflate.eof or inflate.unused_data:
        raise CodecError(f"a packed spectrum inflates to {len(shuffled)} bytes, expected {size}")
    rows = np.frombuffer(shuffled, dtype=np.uint8).reshape(data[1], n_points).T
    if data[0] == _REAL:
        return np.ascontiguousarray(rows).view("<f4").ravel().astype(np.float32)
    folded = np.ascontiguousarray(rows).view(f"<u{data[1]}").ravel().astype(np.uint64)
    steps = (folded >> np.uint64(1)).astype(np.int64) ^ -(folded & np.uint64(1)).astype(np.int64)
    return np.cumsum(steps)


def _deflated(values: NDArray[Any]) -> bytes:
    shuffled = values.view(np.uint8).reshape(len(values), values.itemsize).T
    return zlib.compress(np.ascontiguousarray(shuffled).tobytes(), _LEVEL)
