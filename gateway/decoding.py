"""From encoded features to what a segment takes, for many requests at once.

Legend: P positions, C channels, S size of the exit policy's state.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gateway.intake import RefusedRequest
from gateway.models import ServedModel
from gateway.work import Task, Work
from specnet.codec import RAW, EncodedFeatures, check_sum, decode_many, unpack_spectrum
from specnet.errors import CodecError, SpectrumError, WireError
from specnet.wire import state_arrays

Float32 = NDArray[np.float32]


def decode_tasks(batch: Sequence[Task]) -> tuple[list[Task], list[tuple[Task, RefusedRequest]]]:
    """Decode features and states of requests that have just come; others are passed through.

    Parameters
    ----------
    batch
        Tasks of one bundle and segment. Those that can be decoded get their features and state.

    Returns
    -------
    tuple
        Tasks that can be computed, in order; and those that cannot, each with a reason ``features`` or ``state``.
    """
    fresh = [task for task in batch if task.features is None]
    if not fresh:
        return list(batch), []
    features = _features([task.work for task in fresh], fresh[0].work.model)
    refused: dict[int, RefusedRequest] = {}
    states = state_arrays([task.work.request for task in fresh], fresh[0].work.model.manifest.state_layout)
    for task, found, state in zip(fresh, features, states, strict=True):
        request = task.work.request
        if isinstance(found, Exception):
            refused[id(task)] = RefusedRequest("features", str(found), request)
            continue
        if isinstance(state, WireError):
            refused[id(task)] = RefusedRequest("state", str(state), request)
            continue
        task.features, task.state = found, state
    ready = [task for task in batch if id(task) not in refused]
    return ready, [(task, refused[id(task)]) for task in batch if id(task) in refused]


def _features(works: Sequence[Work], model: ServedModel) -> list[Float32 | Exception]:
    """Input ``(P, C)`` of the segment after the split for each, or why there is none."""
    requests = [work.request for work in works]
    shape = model.manifest.split_shape(requests[0].split)
    found: dict[int, Float32 | Exception] = {}
    by_codec: dict[str, list[int]] = {}
    for number, request in enumerate(requests):
        if (wrong := _wrong_checksum(works[number])) is not None:
            found[number] = wrong
        else:
            by_codec.setdefault(request.features.codec, []).append(number)
    for codec, numbers in by_codec.items():
        encoded = [requests[number].features for number in numbers]
        if codec == RAW:
            decoded: list[Float32 | Exception] = [_spectrum(one, requests[0].split, model) for one in encoded]
        else:
            decoded = [*decode_many(encoded, shape, model.codecs)]
        found.update(zip(numbers, decoded, strict=True))
    return [found[number] for number in range(len(requests))]


def _wrong_checksum(work: Work) -> CodecError | None:
    announced = work.request.checksum
    if announced in (None, work.key.crc32):
        return None
    return CodecError(f"checksum of the request is {work.key.crc32:#010x}, announced {announced:#010x}")


def _spectrum(encoded: EncodedFeatures, split: int, model: ServedModel) -> Float32 | Exception:
    """Preprocess a raw spectrum: ``(P, 1)``."""
    if split != 0:
        return CodecError(f"a raw spectrum is sent at split 0, got one at split {split}")
    try:
        check_sum(encoded)
        spectrum = model.preprocess(unpack_spectrum(encoded.data, model.preprocess.source.n_points))
    except (CodecError, SpectrumError) as error:
        return error
    expected = model.manifest.split_shape(0)[:1]
    if spectrum.shape != expected or not np.isfinite(spectrum).all():
        return CodecError(f"a raw spectrum becomes {spectrum.shape}, expected {expected} finite points")
    return spectrum[:, np.newaxis]
