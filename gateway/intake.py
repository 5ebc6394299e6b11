"""From an MQTT message to a checked request, or to the reason why not."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gateway.answers import RequestKey
from gateway.batching import Work
from gateway.models import ServedModel
from specnet.codec import RAW, check_sum, decode_features, unpack_spectrum
from specnet.errors import (
    BundleError,
    CodecError,
    MessageTooLargeError,
    MessageVersionError,
    SpectrumError,
    WireError,
)
from specnet.mqtt import Incoming
from specnet.wire import MAX_PAYLOAD_BYTES, OffloadRequest, Topics, parse_offload_topic, unpack_request

Float32 = NDArray[np.float32]


class RefusedRequest(Exception):
    """A message that is no request this gateway can finish.

    Attributes
    ----------
    reason
        One word for the metrics, out of a fixed set.
    request
        The request when it could be read and may be answered with an error; None when nobody can be told.
    """

    def __init__(self, reason: str, message: str, request: OffloadRequest | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.request = request


def read_request(incoming: Incoming, max_bytes: int = MAX_PAYLOAD_BYTES) -> OffloadRequest:
    """Decode a message and check that it says of itself what its topic says.

    A broker's access rules are about topics. A payload that names another device than its topic could otherwise make
    the gateway speak to that device.

    Raises
    ------
    RefusedRequest
        With reason ``topic``, ``oversize``, ``version``, ``malformed`` or ``foreign``.
    """
    try:
        topic = parse_offload_topic(incoming.topic)
    except WireError as error:
        raise RefusedRequest("topic", str(error)) from error
    try:
        request = unpack_request(incoming.payload, topic, max_bytes)
    except MessageTooLargeError as error:
        raise RefusedRequest("oversize", str(error)) from error
    except MessageVersionError as error:
        raise RefusedRequest("version", str(error)) from error
    except WireError as error:
        raise RefusedRequest("malformed", str(error)) from error
    said = (request.site, request.device, request.bundle, request.split)
    expected = (topic.site, topic.device, topic.bundle, topic.split)
    if said != expected:
        raise RefusedRequest("foreign", f"the message is from {said}, its topic says {expected}")
    return request


def request_key(request: OffloadRequest) -> RequestKey:
    """Return what identifies a request; the checksum is computed here because the announced one may be wrong."""
    checksum = zlib.crc32(request.state, zlib.crc32(request.features.data))
    return RequestKey(
        request.site, request.device, request.boot, request.sequence, request.bundle, request.split, checksum
    )


def check_request(request: OffloadRequest, incoming: Incoming, find_model: Callable[[str], ServedModel | None]) -> Work:
    """Decode the features and make everything ready to compute.

    Raises
    ------
    RefusedRequest
        With reason ``unknown_bundle``, ``split``, ``features`` or ``state``, and the request.
    """
    model = find_model(request.bundle)
    if model is None:
        raise RefusedRequest("unknown_bundle", f"bundle {request.bundle} is not served here", request)
    manifest = model.manifest
    try:
        shape = manifest.split_shape(request.split)
    except BundleError as error:
        raise RefusedRequest("split", str(error), request) from error
    try:
        features = _features(request, model, shape)
    except (CodecError, SpectrumError) as error:
        raise RefusedRequest("features", str(error), request) from error
    try:
        state = request.state_array(manifest.state_layout)
    except WireError as error:
        raise RefusedRequest("state", str(error), request) from error
    return Work(
        key=request_key(request),
        request_id=request.request_id,
        model=model,
        split=request.split,
        features=features,
        state=state,
        audit=request.audit,
        arrived=time.monotonic(),
        # acknowledging needs no payload, and a long queue should not hold both forms of the features
        incoming=replace(incoming, payload=b""),
        topic=Topics(request.site, request.device).result,
        correlation=incoming.correlation,
        provisional=request.provisional,
        raw=request.features.data if request.features.codec == RAW else b"",
    )


def _features(request: OffloadRequest, model: ServedModel, shape: tuple[int, int]) -> Float32:
    """Input ``(P, C)`` of the segment after the split; a raw spectrum is preprocessed here."""
    encoded = request.features
    checksum = zlib.crc32(request.state, zlib.crc32(encoded.data))
    if request.checksum not in (None, checksum):
        raise CodecError(f"checksum of the request is {checksum:#010x}, announced {request.checksum:#010x}")
    if encoded.codec != RAW:
        return decode_features(encoded, shape, model.codecs)
    if request.split != 0:
        raise CodecError(f"a raw spectrum is sent at split 0, got one at split {request.split}")
    check_sum(encoded)
    spectrum = model.preprocess(unpack_spectrum(encoded.data, model.preprocess.source.n_points))
    if spectrum.shape != shape[:1] or not np.isfinite(spectrum).all():
        raise CodecError(f"a raw spectrum becomes {spectrum.shape}, expected {shape[:1]} finite points")
    return spectrum[:, np.newaxis]
