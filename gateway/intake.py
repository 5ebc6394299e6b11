"""From an MQTT message to a checked request, or to the reason why not."""

from __future__ import annotations

import math
import time
import zlib
from collections.abc import Callable
from dataclasses import replace

from gateway.answers import RequestKey
from gateway.models import ServedModel
from gateway.work import Work
from specnet.codec import CheckedFeatures
from specnet.errors import BundleError, MessageTooLargeError, MessageVersionError, WireError
from specnet.mqtt import Incoming
from specnet.wire import MAX_PAYLOAD_BYTES, OffloadRequest, parse_offload_topic, unpack_request


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
    """Return what identifies a request; a checksum that was only announced may be wrong, and is computed here."""
    features = request.features
    crc32 = features.crc32 if isinstance(features, CheckedFeatures) else zlib.crc32(features.data)
    checksum = zlib.crc32(request.state, crc32)
    return RequestKey(
        request.site, request.device, request.boot, request.sequence, request.bundle, request.split, checksum
    )


def check_request(
    request: OffloadRequest,
    incoming: Incoming,
    find_model: Callable[[str], ServedModel | None],
    key: RequestKey | None = None,
) -> Work:
    """Find the model of a request, and see whether it can be split so; `key` is its `request_key` where that is known.

    Raises
    ------
    RefusedRequest
        With reason ``unknown_bundle`` or ``split``, and the request.
    """
    model = find_model(request.bundle)
    if model is None:
        raise RefusedRequest("unknown_bundle", f"bundle {request.bundle} is not served here", request)
    try:
        model.manifest.split_shape(request.split)
    except BundleError as error:
        raise RefusedRequest("split", str(error), request) from error
    arrived = time.monotonic()
    return Work(
        key=key or request_key(request),
        request=request,
        model=model,
        arrived=arrived,
        # acknowledging needs no payload
        incoming=replace(incoming, payload=b""),
        deadline=arrived + request.deadline_ms / 1e3 if request.deadline_ms else math.inf,
    )
