"""Messages of model updates: what is sent arrives, anything else is refused with a clear error."""

from __future__ import annotations

import contextlib
import zlib
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specnet.errors import MessageTooLargeError, WireError
from specnet.wire import (
    MAX_ANNOUNCEMENT_BYTES,
    MAX_PART_BYTES,
    MAX_PART_PAYLOAD_BYTES,
    MAX_PART_REQUEST_BYTES,
    Message,
    ModelAnnouncement,
    ModelState,
    Part,
    PartRequest,
    Topics,
    decode,
    encode,
    model_request_filter,
    model_state_filter,
    parse_model_request_topic,
    site_model_topic,
)

FAST = settings(max_examples=150, deadline=None, database=None)
HASH = "0123456789abcdef" * 4
VALID: dict[type[Message], dict[str, Any]] = {
    ModelAnnouncement: {
        "v": 1,
        "name": "tiny",
        "version": 2,
        "size": 1000,
        "sha256": HASH,
        "part_bytes": 4096,
        "signature": b"{}",
        "url": "https://gateway.local/tiny.specnet",
    },
    PartRequest: {"v": 1, "sha256": HASH, "offset": 4096, "length": 512},
    Part: {"v": 1, "sha256": HASH, "offset": 4096, "data": b"abc", "checksum": zlib.crc32(b"abc"), "error": ""},
    ModelState: {
        "v": 1,
        "device": "node-1",
        "boot": 3,
        "name": "tiny",
        "version": 1,
        "bundle": "0123456789abcdef",
        "stage": "fetching",
        "candidate": "tiny/2",
        "progress": 0.5,
        "detail": "",
    },
}
KINDS = list(VALID)
LIMITS = {
    ModelAnnouncement: MAX_ANNOUNCEMENT_BYTES,
    PartRequest: MAX_PART_REQUEST_BYTES,
    Part: MAX_PART_PAYLOAD_BYTES,
    ModelState: 8192,
}


def pack(fields: dict[str, Any]) -> bytes:
    return msgspec.msgpack.encode(fields)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_sent_arrives_whole(kind: type[Message]) -> None:
    message = decode(kind, pack(VALID[kind]))
    assert msgspec.to_builtins(message, builtin_types=(bytes,)) == VALID[kind]
    assert decode(kind, encode(message)) == message


@pytest.mark.parametrize(
    ("kind", "changes", "complaint"),
    [
        (ModelAnnouncement, {"name": "a/b"}, "name is 1 to 64"),
        (ModelAnnouncement, {"version": -1}, "version is 0 to"),
        (ModelAnnouncement, {"size": 1 << 40}, "size is 1 to"),
        (ModelAnnouncement, {"size": 0}, "size is 1 to"),
        (ModelAnnouncement, {"sha256": "x"}, "sha256 is 64"),
        (ModelAnnouncement, {"part_bytes": 1 << 30}, "part_bytes is 256 to"),
        (ModelAnnouncement, {"part_bytes": 1}, "part_bytes is 256 to"),
        (ModelAnnouncement, {"signature": b""}, "signature has 1 to"),
        (ModelAnnouncement, {"signature": bytes(3000)}, "signature has 1 to"),
        (ModelAnnouncement, {"url": "x" * 2000}, "url has 2000"),
        (PartRequest, {"offset": -1}, "offset is 0 to"),
        (PartRequest, {"offset": 1 << 40}, "offset is 0 to"),
        (PartRequest, {"length": 0}, "length is 1 to"),
        (PartRequest, {"length": MAX_PART_BYTES + 1}, "length is 1 to"),
        (Part, {"data": b"abd"}, "checksum is"),
        (Part, {"data": b""}, "data or an error"),
        (Part, {"error": "no"}, "data or an error"),
        (ModelState, {"stage": "happy"}, "stage"),
        (ModelState, {"progress": 1.5}, "progress is 0 to 1"),
        (ModelState, {"detail": "x" * 501}, "detail has 501"),
        (ModelState, {"more": 1}, "unknown field"),
    ],
)
def test_impossible_fields_are_named(kind: type[Message], changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(WireError, match=complaint):
        decode(kind, pack(VALID[kind] | changes))


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_over_the_limit_is_decoded(kind: type[Message]) -> None:
    with pytest.raises(MessageTooLargeError):
        decode(kind, bytes(LIMITS[kind] + 1), LIMITS[kind])


@pytest.mark.parametrize("kind", KINDS)
@FAST
@given(payload=st.binary(max_size=200))
def test_random_bytes_raise_wire_errors_alone(kind: type[Message], payload: bytes) -> None:
    with contextlib.suppress(WireError):
        assert isinstance(decode(kind, payload), kind)


@pytest.mark.parametrize("kind", KINDS)
@FAST
@given(data=st.data())
def test_damaged_messages_raise_wire_errors_alone(kind: type[Message], data: st.DataObject) -> None:
    payload = bytearray(pack(VALID[kind]))
    for position in data.draw(st.lists(st.integers(0, len(payload) - 1), min_size=1, max_size=4)):
        payload[position] = data.draw(st.integers(0, 255))
    with contextlib.suppress(WireError):
        assert isinstance(decode(kind, bytes(payload)), kind)


def test_model_topics_are_apart_from_those_of_other_devices() -> None:
    topics = Topics("lab", "node-1")
    assert topics.model == "specnet/v1/lab/node-1/model"
    assert topics.model_state == "specnet/v1/lab/node-1/model/state"
    assert topics.model_request == "specnet/v1/lab/node-1/model/get"
    assert topics.model_part == "specnet/v1/lab/node-1/model/part"
    assert topics.site_model == site_model_topic("lab") == "specnet/v1/lab/model"
    assert model_request_filter("lab") == "specnet/v1/lab/+/model/get"
    assert model_state_filter("lab") == "specnet/v1/lab/+/model/state"
    # a device that is called "model" has topics of its own
    assert Topics("lab", "model").model != topics.site_model


def test_a_topic_of_requests_says_whose_it_is() -> None:
    topics = Topics("lab", "node-1")
    assert parse_model_request_topic(topics.model_request) == topics
    for topic in (
        topics.model_part,
        topics.model,
        topics.site_model,
        "",
        "a/b/c/d/model/get",
        "specnet/v1/l/+/model/get",
    ):
        with pytest.raises(WireError):
            parse_model_request_topic(topic)
