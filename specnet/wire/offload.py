"""The short form of an offload request: an array without names, and nothing that its topic says already.

A request as a map takes some 250 bytes beside its features; this takes some 25, so that all of it fits into one packet
of a slow radio. Site, device, bundle and split come from the topic, which a broker's access rules protect. Protocol
version 2; version 1, the map, is read too.
"""

from __future__ import annotations

import zlib

import msgspec

from specnet.codec import CheckedFeatures
from specnet.errors import MessageTooLargeError, MessageVersionError, WireError
from specnet.wire.messages import MAX_PAYLOAD_BYTES, OffloadRequest, Provisional, decode
from specnet.wire.topics import OffloadTopic

SHORT_VERSION = 2
PARTS_OF_PROBABILITY = 1000


class _Short(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """Fields in this order; `checksum` is the CRC-32 of data and state, `answer` label, probability, exit, known."""

    v: int
    boot: int
    sequence: int
    codec: str
    data: bytes
    state: bytes
    checksum: int
    answer: tuple[int, int, int, bool] | None = None
    deadline_ms: int = 0
    audit: bool = False


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Short)


def pack_request(request: OffloadRequest, max_bytes: int = MAX_PAYLOAD_BYTES) -> bytes:
    """Payload of a request in the short form; the provisional probability is rounded to a thousandth.

    Raises
    ------
    MessageTooLargeError
        When it is over the limit.
    WireError
        When its state is not packed, which the short form does not know.
    """
    if not request.packed_state:
        raise WireError("the short form of a request has a packed exit state, got plain numbers")
    own = request.provisional
    answer = None
    if own is not None:
        answer = own.label, round(min(own.probability, 1.0) * PARTS_OF_PROBABILITY), own.exit_index, own.known
    features = request.features
    payload = _encoder.encode(
        _Short(
            v=SHORT_VERSION,
            boot=request.boot,
            sequence=request.sequence,
            codec=features.codec,
            data=features.data,
            state=request.state,
            checksum=zlib.crc32(request.state, features.crc32),
            answer=answer,
            deadline_ms=request.deadline_ms,
            audit=request.audit,
        )
    )
    if len(payload) > max_bytes:
        raise MessageTooLargeError(f"OffloadRequest has {len(payload)} bytes, at most {max_bytes} are sent")
    return payload


def unpack_request(payload: bytes, topic: OffloadTopic, max_bytes: int = MAX_PAYLOAD_BYTES) -> OffloadRequest:
    """Request out of a payload in either form, every field checked.

    Raises
    ------
    MessageTooLargeError
        Over the limit; nothing is decoded.
    MessageVersionError
        Another protocol version.
    WireError
        Not msgpack, a field missing, unknown, of the wrong type or out of range.
    """
    if not payload or not _is_array(payload[0]):
        return decode(OffloadRequest, payload, max_bytes)
    if len(payload) > max_bytes:
        raise MessageTooLargeError(f"OffloadRequest has {len(payload)} bytes, at most {max_bytes} are accepted")
    try:
        short = _decoder.decode(payload)
        if short.v == SHORT_VERSION:
            return OffloadRequest(
                site=topic.site,
                device=topic.device,
                boot=short.boot,
                sequence=short.sequence,
                bundle=topic.bundle,
                split=topic.split,
                features=CheckedFeatures(short.codec, None, short.data, zlib.crc32(short.data)),
                state=short.state,
                packed_state=True,
                checksum=short.checksum,
                provisional=None if short.answer is None else _provisional(*short.answer),
                audit=short.audit,
                deadline_ms=short.deadline_ms,
            )
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise WireError(f"not a valid OffloadRequest: {error}") from error
    raise MessageVersionError(f"OffloadRequest has protocol version {short.v}, expected {SHORT_VERSION}")


def _is_array(byte: int) -> bool:
    return byte & 0xF0 == 0x90 or byte in (0xDC, 0xDD)


def _provisional(label: int, parts: int, exit_index: int, known: bool) -> Provisional:
    return Provisional(label=label, probability=parts / PARTS_OF_PROBABILITY, exit_index=exit_index, known=known)
