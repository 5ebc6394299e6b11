"""Packets of MQTT 5 by hand: beside what paho writes, in pieces, and made of nonsense."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from specnet.errors import BrokerError
from specnet.mqtt.frames import Frame, Frames, read_publish
from specnet.mqtt.messages import packet_bytes
from specnet.mqtt.packets import CONNACK, PUBACK, SUBACK, read_answer, words, write_puback, write_publish
from specnet.mqtt.window import Outgoing

LIMIT = 300_000
TOPICS = st.text(st.characters(exclude_characters="+#\0", exclude_categories=["Cs"]), min_size=1, max_size=40)
MESSAGES = st.builds(
    Outgoing,
    topic=TOPICS,
    payload=st.binary(max_size=300),
    qos=st.sampled_from([0, 1]),
    retain=st.booleans(),
    expiry_s=st.none() | st.integers(0, 2**32 - 1),
    response_topic=st.none() | TOPICS,
    correlation=st.none() | st.binary(max_size=40),
)


def _frames(pieces: Iterable[bytes], limit: int = LIMIT) -> list[tuple[bytes, int]]:
    frames = Frames(limit)
    return [(bytes(frame.packet), frame.body_at) for piece in pieces for frame in frames.feed(piece)]


def _one(data: bytes) -> Frame:
    (frame,) = Frames(LIMIT).feed(data)
    return frame


@settings(max_examples=200, deadline=None)
@given(MESSAGES, st.integers(1, 65_535))
def test_a_message_is_read_as_it_was_written(message: Outgoing, packet_id: int) -> None:
    packet = write_publish(message, packet_id)
    found = read_publish(_one(packet))
    assert (found.topic.decode(), found.payload) == (message.topic, message.payload)
    assert (found.qos, found.retain) == (message.qos, message.retain)
    assert (found.response_topic, found.correlation) == (message.response_topic, message.correlation)
    assert found.packet_id == (packet_id if message.qos else 0)
    assert len(packet) <= packet_bytes(message.topic, message.payload, message.response_topic, message.correlation)


@settings(max_examples=100, deadline=None)
@given(MESSAGES)
def test_properties_are_written_as_paho_reads_them(message: Outgoing) -> None:
    packet = write_publish(message, 7)
    frame = _one(packet)
    at = frame.body_at + 2 + len(message.topic.encode()) + 2 * message.qos
    found, _ = Properties(PacketTypes.PUBLISH).unpack(packet[at:])  # type: ignore[no-untyped-call]
    assert getattr(found, "MessageExpiryInterval", None) == message.expiry_s
    assert getattr(found, "ResponseTopic", None) == message.response_topic
    assert getattr(found, "CorrelationData", None) == message.correlation


def test_properties_of_no_use_here_are_passed_over() -> None:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.PayloadFormatIndicator = 1
    properties.ContentType = "application/x"
    properties.UserProperty = [("a", "b"), ("c", "")]
    properties.TopicAlias = 3
    properties.CorrelationData = b"me"
    body = b"\x00\x01t" + properties.pack() + b"payload"  # type: ignore[no-untyped-call]
    found = read_publish(_one(bytes([0x30, len(body)]) + body))
    assert (found.payload, found.correlation, found.response_topic) == (b"payload", b"me", None)


@settings(max_examples=150, deadline=None)
@given(st.lists(MESSAGES, max_size=6), st.lists(st.integers(0, 2000), max_size=12))
def test_pieces_make_no_difference(messages: list[Outgoing], cuts: list[int]) -> None:
    stream = b"".join(write_publish(message, 1) for message in messages) + write_puback(9)
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    pieces = [stream[start:end] for start, end in pairwise(places)]
    assert _frames(pieces) == _frames([stream])
    assert _frames([bytes([one]) for one in stream]) == _frames([stream])
    assert b"".join(packet for packet, _ in _frames([stream])) == stream


@settings(max_examples=500, deadline=None)
@given(st.lists(st.binary(max_size=80), max_size=5))
def test_nonsense_raises_what_ends_a_connection_and_holds_no_memory(pieces: list[bytes]) -> None:
    frames = Frames(100)
    try:
        for piece in pieces:
            for frame in frames.feed(piece):
                (read_publish if frame.kind == PacketTypes.PUBLISH else read_answer)(frame)
            assert frames.held_bytes <= 100 + len(piece)
    except BrokerError:
        pass


def test_a_packet_over_the_limit_is_not_waited_for() -> None:
    with pytest.raises(BrokerError, match="a packet of 1002 bytes, the limit is 1001"):
        _frames([b"\x30\xe7\x07"], limit=1001)
    with pytest.raises(BrokerError, match="more than four bytes"):
        _frames([b"\x30\xff\xff\xff\xff\x01"])


@pytest.mark.parametrize(
    ("packet", "complaint"),
    [
        (b"\x34\x07\x00\x01t\x00\x01\x00x", "QoS 2"),
        (b"\x30\x02\xff\xff", "malformed message"),
        (b"\x30\x05\x00\x01t\x09x", "announces 9 bytes of properties, 1 are left"),
        (b"\x30\x06\x00\x01t\x02\x7fx", "property 0x7f"),
        (b"\x30\x07\x00\x01t\x03\x02\x00\x00", "malformed"),
        (b"\x30\x08\x00\x01t\x04\x08\x00\x01\xff", "malformed"),
    ],
)
def test_a_malformed_message_is_named(packet: bytes, complaint: str) -> None:
    with pytest.raises(BrokerError, match=complaint):
        read_publish(_one(packet))


def test_what_a_broker_answers_is_read() -> None:
    found = read_answer(_one(b"\x20\x09\x00\x00\x06\x21\x00\x14\x22\x00\x05"))
    assert (found.codes, found.properties.ReceiveMaximum) == ([0], 20)  # type: ignore[union-attr]
    assert read_answer(_one(b"\x40\x02\x01\x02"))[:2] == (258, [0])
    refused = read_answer(_one(b"\x40\x04\x00\x01\x87\x00"))
    assert refused.failures(PUBACK) == ["Not authorized"]
    assert read_answer(_one(b"\x90\x05\x00\x03\x00\x01\x8f")).failures(SUBACK) == ["Topic filter invalid"]
    assert words(CONNACK, 0xFE) == "code 0xfe"
    with pytest.raises(BrokerError, match="malformed packet of type 4, 1 bytes"):
        read_answer(_one(b"\x40\x01\x00"))
