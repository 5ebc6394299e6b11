"""Messages between device and gateway, and the topics they travel on."""

from specnet.wire.messages import (
    MAX_PAYLOAD_BYTES,
    PROTOCOL_VERSION,
    Answer,
    Birth,
    Command,
    Message,
    OffloadRequest,
    Provisional,
    Result,
    State,
    decode,
    encode,
)
from specnet.wire.offload import pack_request, unpack_request
from specnet.wire.standing import PointInForce
from specnet.wire.topics import OffloadTopic, Topics, parse_offload_topic, shared_offload_filter

__all__ = [
    "MAX_PAYLOAD_BYTES",
    "PROTOCOL_VERSION",
    "Answer",
    "Birth",
    "Command",
    "Message",
    "OffloadRequest",
    "OffloadTopic",
    "PointInForce",
    "Provisional",
    "Result",
    "State",
    "Topics",
    "decode",
    "encode",
    "pack_request",
    "parse_offload_topic",
    "shared_offload_filter",
    "unpack_request",
]
