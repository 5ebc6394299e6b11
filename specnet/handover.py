"""What a device sends at a split point, by the codec that the bundle names or another that fits there."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specnet.bundle import Bundle
from specnet.codec import RAW, EncodedFeatures, encode_features, pack_spectrum
from specnet.manifest import Manifest

CHOSEN = "chosen"
"""Operating point that tuning chose: the bundle's own policy."""
OWN_POINT = "default"
"""What devices call the bundle's own policy."""
WITHOUT_RAW = "float16"
"""Codec of the preprocessed spectrum where the raw one cannot be sent."""


def usual_split(manifest: Manifest, operating_point: str) -> int:
    """Where a device splits that is not told: as tuning chose for its operating point, else behind the first stage."""
    name = CHOSEN if operating_point == OWN_POINT else operating_point
    placement = manifest.placements.get(name)
    return min(1, manifest.n_stages) if placement is None else placement.split


def codecs_in_use(manifest: Manifest, splits: Sequence[int]) -> tuple[str, ...]:
    """Name the codecs of requests at some split points: the bundle's for each, and those of its operating points."""
    usual = [manifest.codecs[str(split)] for split in splits]
    points = [one.codec for one in manifest.placements.values() if one.split in splits and one.codec]
    return tuple(dict.fromkeys([*usual, *points]))


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
