"""How long the requests for spectra are, as a device sends them.

Legend: n spectra, s split point.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specnet.calibration import CachedLogits
from specnet.codec import RAW, EncodedFeatures, StateLayout, pack_spectrum
from specnet.exits import ExitPolicy
from specnet.wire import OffloadRequest, Provisional, pack_request

BOOT, SEQUENCE = 100, 100_000
"""Numbers of a node in its first year: their length is part of a request's."""
_DEADLINE_MS = 5000


def states_at(policy: ExitPolicy, cached: CachedLogits, split: int) -> NDArray[np.float32]:
    """Compute the running states ``(n, S)`` of the exit policy behind exit s."""
    state = policy.initial_state(cached.n_spectra, cached.n_classes)
    for index in range(split + 1):
        state = policy.decide(index, cached.logits[index], state).state
    return state


def request_sizes(
    policy: ExitPolicy,
    layout: StateLayout,
    cached: CachedLogits,
    split: int,
    codec: str,
    *,
    feature_bytes: NDArray[np.int64] | None = None,
    raw: NDArray[Any] | None = None,
) -> NDArray[np.int64]:
    """Count the bytes ``(n,)`` of the request's payload for each spectrum.

    Parameters
    ----------
    policy, layout, cached
        What makes the exit states that travel along.
    split, codec
        Of the request.
    feature_bytes
        ``(n,)`` bytes of the encoded features.
    raw
        ``(n, n_points)`` intensities that are packed where `feature_bytes` are not given.
    """
    if feature_bytes is None:
        assert raw is not None
        feature_bytes = np.array([len(pack_spectrum(one)) for one in raw])
    states = [len(layout.encode(state)) for state in states_at(policy, cached, split)]
    empty = len(example_request(split, codec, b"f", b"s")) - 2  # a checksum of nothing would be shorter
    # a byte string's own length takes two to five bytes with it
    heads = [_head(n) + _head(m) - 2 * _head(0) for n, m in zip(feature_bytes, states, strict=True)]
    return np.asarray(empty + feature_bytes + np.array(states) + np.array(heads), dtype=np.int64)


def example_request(split: int, codec: str, features: bytes, state: bytes) -> bytes:
    """Give a payload as a device sends it."""
    return pack_request(
        OffloadRequest(
            site="site",
            device="device",
            boot=BOOT,
            sequence=SEQUENCE,
            bundle="0123456789abcdef",
            split=split,
            features=EncodedFeatures(codec or RAW, None, features, zlib.crc32(features)),
            state=state,
            packed_state=True,
            provisional=Provisional(label=1, probability=0.5, exit_index=split, known=True),
            deadline_ms=_DEADLINE_MS,
        )
    )


def _head(n_bytes: int) -> int:
    """Bytes that msgpack puts in front of a byte string."""
    return 2 if n_bytes < 1 << 8 else 3 if n_bytes < 1 << 16 else 5
