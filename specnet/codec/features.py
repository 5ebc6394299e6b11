"""Codecs: intermediate features ``(positions, channels)`` as bytes, and back.

Every codec is checked against corruption by a CRC over its bytes, and never allocates more than the shape that the
receiver expects.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from specnet.errors import CodecError

Float32 = NDArray[np.float32]
MAX_ELEMENTS = 1 << 20
LEVELS = 255
_NOTHING: Float32 = np.empty(0, dtype=np.float32)
CODEC_NAME = re.compile(r"[A-Za-z0-9_.-]{1,32}\Z")


class Codec(Protocol):
    """Turns features ``(positions, channels)`` float32 into bytes and back."""

    def encode(self, features: Float32, active: NDArray[np.bool_] | None = None) -> bytes:
        """Bytes of finite features; `active` says at which positions an adaptive unit ran, where some can halt."""

    def decode(self, data: bytes, shape: tuple[int, int]) -> Float32:
        """Features of the given shape; `CodecError` when the bytes cannot be that."""

    def decode_many(self, data: Sequence[bytes], shape: tuple[int, int]) -> list[Float32 | CodecError]:
        """Features of each, or what is wrong with its bytes."""


def _one_by_one(codec: Codec, data: Sequence[bytes], shape: tuple[int, int]) -> list[Float32 | CodecError]:
    """Decode with a codec that gains nothing from many at once."""
    found: list[Float32 | CodecError] = []
    for one in data:
        try:
            found.append(codec.decode(one, shape))
        except CodecError as error:
            found.append(error)
    return found


class Plain:
    """The numbers themselves, little-endian, in the given type."""

    def __init__(self, dtype: str) -> None:
        self._dtype = np.dtype(dtype)

    def encode(self, features: Float32, active: NDArray[np.bool_] | None = None) -> bytes:
        """Bytes of finite features; `CodecError` when a value does not fit the type."""
        limit = np.finfo(self._dtype).max
        if np.abs(features).max(initial=0.0) > limit:
            raise CodecError(f"a feature of {np.abs(features).max():g} does not fit {self._dtype}, at most {limit:g}")
        return features.astype(self._dtype).tobytes()

    def decode(self, data: bytes, shape: tuple[int, int]) -> Float32:
        """Features of the given shape."""
        expected = shape[0] * shape[1] * self._dtype.itemsize
        if len(data) != expected:
            raise CodecError(f"got {len(data)} bytes of features, expected {expected} for {shape} {self._dtype}")
        return np.frombuffer(data, dtype=self._dtype).reshape(shape).astype(np.float32)

    def decode_many(self, data: Sequence[bytes], shape: tuple[int, int]) -> list[Float32 | CodecError]:
        """Features of each, or what is wrong with its bytes."""
        return _one_by_one(self, data, shape)


class Int8:
    """Affine quantisation to 8 bits with a range for each channel (Jacob et al. 2018, eq. 1), then deflate.

    Layout: minimum and step of every channel (float32 each), then the deflated levels, channel after channel, because
    neighbours along the axis are alike.
    """

    def encode(self, features: Float32, active: NDArray[np.bool_] | None = None) -> bytes:
        """Bytes of finite features."""
        low = features.min(axis=0)
        step = ((features.max(axis=0) - low) / LEVELS).astype(np.float32)
        safe = np.where(step > 0, step, 1.0)
        levels = np.clip(np.rint((features - low) / safe), 0, LEVELS).astype(np.uint8)
        header = np.stack([low, step]).astype("<f4").tobytes()
        return header + zlib.compress(np.ascontiguousarray(levels.T).tobytes(), 6)

    def decode(self, data: bytes, shape: tuple[int, int]) -> Float32:
        """Features of the given shape."""
        (found,) = self.decode_many([data], shape)
        if isinstance(found, CodecError):
            raise found
        return found

    def decode_many(self, data: Sequence[bytes], shape: tuple[int, int]) -> list[Float32 | CodecError]:
        """Features of each, or what is wrong with its bytes; the arithmetic is done for all at once."""
        positions, channels = shape
        head = 8 * channels
        levels: dict[int, bytes] = {}
        found: list[Float32 | CodecError] = []
        for number, one in enumerate(data):
            try:
                levels[number] = _inflate(one, head, positions * channels)
                found.append(_NOTHING)
            except CodecError as error:
                found.append(error)
        if not levels:
            return found
        ranges = np.frombuffer(b"".join(data[number][:head] for number in levels), dtype="<f4")
        low, step = ranges.reshape(-1, 2, 1, channels).swapaxes(0, 1)
        sound = (np.isfinite(ranges).reshape(len(levels), -1).all(axis=1) & (step >= 0).all(axis=(1, 2))).tolist()
        grid = np.frombuffer(b"".join(levels.values()), dtype=np.uint8).reshape(-1, channels, positions)
        with np.errstate(over="ignore", invalid="ignore"):  # bytes from outside; what is not finite is refused later
            features = grid.swapaxes(1, 2) * step
            features += low
        for place, number in enumerate(levels):
            wrong = CodecError("the channel ranges of int8 features are not finite")
            found[number] = features[place] if sound[place] else wrong
        return found


def _inflate(data: bytes, head: int, n_levels: int) -> bytes:
    """Levels of `Int8` features behind a head of so many bytes; `CodecError` when they are not as many as expected."""
    if len(data) < head:
        raise CodecError(f"got {len(data)} bytes of features, expected at least {head} for {head // 8} channels")
    inflate = zlib.decompressobj()
    try:
        levels = inflate.decompress(data[head:], n_levels + 1)
    except zlib.error as error:
        raise CodecError(f"int8 features do not inflate: {error}") from error
    if len(levels) != n_levels or not inflate.eof or inflate.unused_data:
        raise CodecError(f"int8 features inflate to {len(levels)} levels, expected {n_levels}")
    return levels


CODECS: dict[str, Codec] = {"float32": Plain("<f4"), "float16": Plain("<f2"), "int8": Int8()}
"""Codecs that need nothing learned; a bundle adds the bottlenecks of its own (`specnet.bundle.Bundle.codec`)."""


class EncodedFeatures(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Features on the wire: codec name, shape ``(positions, channels)``, bytes and their CRC-32.

    Without a shape they have the one that the bundle states for the split point.
    """

    codec: str
    shape: tuple[int, int] | None
    data: bytes
    crc32: int

    def __post_init__(self) -> None:
        if not CODEC_NAME.match(self.codec):
            raise ValueError(f"a codec's name is 1 to 32 of letters, digits, '_', '.', '-'; got {self.codec[:40]!r}")
        if self.shape and (min(self.shape) < 1 or self.shape[0] * self.shape[1] > MAX_ELEMENTS):
            raise ValueError(f"features of shape {self.shape} are outside 1..{MAX_ELEMENTS} elements")


class CheckedFeatures(EncodedFeatures, frozen=True, forbid_unknown_fields=True):
    """Features whose checksum was computed from the bytes that are here, so that nobody need do it again."""


def encode_features(
    name: str,
    features: Float32,
    codecs: Mapping[str, Codec] = CODECS,
    *,
    active: NDArray[np.bool_] | None = None,
) -> EncodedFeatures:
    """Encode features ``(positions, channels)``.

    Parameters
    ----------
    name
        Of the codec.
    features
        What to send.
    codecs
        Where to find it.
    active
        ``(positions,)`` where at least one adaptive unit ran; None where none can halt.

    Raises
    ------
    CodecError
        For an unknown codec or features that are not finite.
    """
    codec = _find(name, codecs)
    if not np.isfinite(features).all():
        raise CodecError("features are not finite")
    data = codec.encode(np.ascontiguousarray(features, dtype=np.float32), active)
    return EncodedFeatures(name, (features.shape[0], features.shape[1]), data, zlib.crc32(data))


def decode_features(
    encoded: EncodedFeatures, expected_shape: tuple[int, int], codecs: Mapping[str, Codec] = CODECS
) -> Float32:
    """Decode to features ``(positions, channels)``.

    Raises
    ------
    CodecError
        When the codec is unknown, the shape is not the expected one, the checksum does not agree, or the content is
        not finite.
    """
    (found,) = decode_many([encoded], expected_shape, codecs)
    if isinstance(found, CodecError):
        raise found
    return found


def decode_many(
    encoded: Sequence[EncodedFeatures], expected_shape: tuple[int, int], codecs: Mapping[str, Codec] = CODECS
) -> list[Float32 | CodecError]:
    """Decode features ``(positions, channels)`` of one codec together: each, or its error as `decode_features` has it.

    The codec is that of the first.
    """
    found: list[Float32 | CodecError] = [_damage(one, expected_shape) or _NOTHING for one in encoded]
    sound = [number for number, one in enumerate(found) if not isinstance(one, CodecError)]
    if not sound:
        return found
    codec = codecs.get(encoded[0].codec)
    if codec is None:
        return [CodecError(_unknown(one.codec, codecs)) for one in encoded]
    for number, one in zip(sound, codec.decode_many([encoded[n].data for n in sound], expected_shape), strict=True):
        fine = isinstance(one, CodecError) or bool(np.isfinite(one).all())
        found[number] = one if fine else CodecError("decoded features are not finite")
    return found


def _damage(encoded: EncodedFeatures, expected_shape: tuple[int, int]) -> CodecError | None:
    """Look for what is wrong with features before they are decoded."""
    if encoded.shape not in (None, expected_shape):
        return CodecError(f"got features of shape {encoded.shape}, expected {expected_shape}")
    try:
        check_sum(encoded)
    except CodecError as error:
        return error
    return None


def check_sum(encoded: EncodedFeatures) -> None:
    """Compare the checksum of the bytes with the announced one; `CodecError` when they differ."""
    if isinstance(encoded, CheckedFeatures):
        return
    if zlib.crc32(encoded.data) != encoded.crc32:
        raise CodecError(f"checksum of features is {zlib.crc32(encoded.data):#010x}, announced {encoded.crc32:#010x}")


def _find(name: str, codecs: Mapping[str, Codec]) -> Codec:
    if name not in codecs:
        raise CodecError(_unknown(name, codecs))
    return codecs[name]


def _unknown(name: str, codecs: Mapping[str, Codec]) -> str:
    return f"unknown codec {name!r}; known: {', '.join(codecs)}"
