"""Requests in their short form."""

from __future__ import annotations

import zlib
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specnet.codec import CheckedFeatures, EncodedFeatures, StateLayout
from specnet.errors import MessageTooLargeError, MessageVersionError, WireError
from specnet.wire import OffloadRequest, Provisional, encode, pack_request, parse_offload_topic, unpack_request
from specnet.wire.topics import OffloadTopic

TOPIC = parse_offload_topic("specnet/v1/lab/probe-1/offload/0123456789abcdef/1")
LAYOUT = StateLayout(((10, True),))


def request(data: bytes = bytes(range(50)), **changes: Any) -> OffloadRequest:
    fields: dict[str, Any] = {
        "site": TOPIC.site,
        "device": TOPIC.device,
        "boot": 7,
        "sequence": 123_456,
        "bundle": TOPIC.bundle,
        "split": TOPIC.split,
        "features": EncodedFeatures("b1-0.001", None, data, zlib.crc32(data)),
        "state": LAYOUT.encode(-np.arange(10, dtype=np.float32)),
        "packed_state": True,
        "provisional": Provisional(label=3, probability=0.625, exit_index=1, known=False),
        "deadline_ms": 5000,
    }
    return OffloadRequest(**{**fields, **changes})


def test_a_request_comes_back() -> None:
    for one in (request(), request(provisional=None), request(audit=True, deadline_ms=0), request(b"")):
        back = unpack_request(pack_request(one), TOPIC)
        assert isinstance(back.features, CheckedFeatures)
        announced = EncodedFeatures(*msgspec.structs.astuple(back.features))
        assert msgspec.structs.replace(back, checksum=None, features=announced) == one
        assert back.checksum == zlib.crc32(one.state, zlib.crc32(one.features.data))


def test_what_it_adds_to_features_and_state_is_little() -> None:
    one = request()
    own = len(one.features.data) + len(one.state)
    assert len(pack_request(one)) - own <= 40
    long = msgspec.structs.replace(one, state=bytes(40), packed_state=False)
    assert len(encode(long)) - len(long.features.data) - 40 > 200  # the same as a map


def test_the_long_form_is_read_too() -> None:
    one = request(state=np.zeros(10, "<f4").tobytes(), packed_state=False)
    assert unpack_request(encode(one), TOPIC) == one


def test_the_topic_says_whose_it_is() -> None:
    other = OffloadTopic("plant", "probe-2", "fedcba9876543210", 2)
    back = unpack_request(pack_request(request()), other)
    assert (back.site, back.device, back.bundle, back.split) == ("plant", "probe-2", "fedcba9876543210", 2)


def test_probabilities_are_rounded_to_a_thousandth() -> None:
    one = request(provisional=Provisional(label=0, probability=1.0 + 1e-7, exit_index=0))
    back = unpack_request(pack_request(one), TOPIC).provisional
    assert back is not None
    assert back.probability == 1.0


def test_a_plain_state_has_no_short_form() -> None:
    with pytest.raises(WireError, match="got plain numbers"):
        pack_request(request(state=bytes(40), packed_state=False))


def test_sizes_are_limited_both_ways() -> None:
    payload = pack_request(request())
    with pytest.raises(MessageTooLargeError, match=f"has {len(payload)} bytes, at most 50 are sent"):
        pack_request(request(), 50)
    with pytest.raises(MessageTooLargeError, match=f"has {len(payload)} bytes, at most 50 are accepted"):
        unpack_request(payload, TOPIC, 50)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (0, "2", "Expected `int`"),
        (1, -1, "boot is 0 to"),
        (2, 2**60, "sequence is 0 to"),
        (3, "a b", "a codec's name"),
        (4, "text", "Expected `bytes`"),
        (5, None, "Expected `bytes`"),
        (6, "0", "Expected `int"),
        (7, [1, 2, 3], "length"),
        (7, [-1, 500, 0, True], "label is 0 to"),
        (7, [1, 1500, 0, True], "probability is 0 to 1"),
        (8, -5, "deadline_ms is 0 to"),
        (9, 1, "Expected `bool`"),
    ],
)
def test_fields_are_checked(place: int, value: Any, message: str) -> None:
    plain = msgspec.msgpack.decode(pack_request(request()))
    plain[place] = value
    with pytest.raises(WireError, match=message):
        unpack_request(msgspec.msgpack.encode(plain), TOPIC)


def test_another_version_is_named() -> None:
    plain = msgspec.msgpack.decode(pack_request(request()))
    plain[0] = 3
    with pytest.raises(MessageVersionError, match="has protocol version 3, expected 2"):
        unpack_request(msgspec.msgpack.encode(plain), TOPIC)


def test_fields_too_few_or_too_many_are_refused() -> None:
    plain = msgspec.msgpack.decode(pack_request(request()))
    for wrong in (plain[:4], [*plain, 1]):
        with pytest.raises(WireError, match="not a valid OffloadRequest"):
            unpack_request(msgspec.msgpack.encode(wrong), TOPIC)


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.binary(max_size=120), st.binary(max_size=80).map(lambda tail: b"\x9a\x02" + tail)))
def test_any_bytes_end_in_a_request_or_in_an_error(payload: bytes) -> None:
    try:
        unpack_request(payload, TOPIC)
    except WireError:
        return
