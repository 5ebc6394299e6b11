"""What a device sends at a split point, by the codec that the bundle names or another that fits there."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specnet.bundle import Bundle, Manifest
from specnet.codec import CODECS, RAW, EncodedFeatures, encode_features, pack_spectrum

WITHOUT_RAW = "float16"
"""Codec of the preprocessed spectrum where the raw one cannot be sent."""


def fitting_codecs(manifest: Manifest, split: int) -> list[str]:
    """Names of the codecs that can be used at a split point: the raw spectrum, plain ones, bottlenecks made for it."""
    own = [name for name, info in manifest.bottlenecks.items() if info.split == split]
    return [*([RAW] if split == 0 else []), *CODECS, *own]


def encode_handover(
    bundle: Bundle,
    split: int,
    features: NDArray[np.float32],
    *,
    raw: NDArray[Any] | None,
    active: NDArray[np.bool_] | None,
    codec: str = "",
) -> EncodedFeatures:
    """Encode what the segment behind a split point needs.

    Parameters
    ----------
    bundle
        Has the codecs.
    split
        Split point.
    features
        Input ``(positions, channels)`` of that segment.
    raw
        Intensities on the axis of the training spectra; None where the instrument has another axis. Then the
        preprocessed spectrum is sent in place of the raw one.
    active
        Positions at which the segment in front ran an adaptive unit; None where it has none.
    codec
        Name of the codec; the one that the bundle names for this split point by default.

    Raises
    ------
    CodecError
        When the features cannot be encoded, or there is no such codec.
    """
    name = codec or bundle.manifest.codecs[str(split)]
    if name == RAW and raw is not None:
        data = pack_spectrum(raw)
        return EncodedFeatures(RAW, None, data, zlib.crc32(data))
    return encode_features(WITHOUT_RAW if name == RAW else name, features, bundle.codecs, active=active)
