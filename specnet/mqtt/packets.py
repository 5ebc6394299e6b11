"""Packets of MQTT 5 as bytes, and what a broker answers; for `specnet.mqtt.direct`."""

from __future__ import annotations

from typing import NamedTuple

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from specnet.errors import BrokerError
from specnet.mqtt.frames import Frame
from specnet.mqtt.messages import Will
from specnet.mqtt.window import Outgoing

PUBLISH, PUBACK = PacketTypes.PUBLISH, PacketTypes.PUBACK
CONNACK, SUBACK, UNSUBACK = PacketTypes.CONNACK, PacketTypes.SUBACK, PacketTypes.UNSUBACK
DISCONNECT, PINGRESP = PacketTypes.DISCONNECT, PacketTypes.PINGRESP
PING = b"\xc0\x00"
FAREWELL = b"\xe0\x00"
PROTOCOL = b"\x00\x04MQTT\x05"
CLEAN_START, WILL, RETAINED_WILL, PASSWORD, USER = 0x02, 0x04, 0x20, 0x40, 0x80
EXPIRY, RESPONSE_TOPIC, CORRELATION = b"\x02", b"\x08", b"\x09"
RECEIVE_MAXIMUM, MAXIMUM_PACKET_SIZE = b"\x21", b"\x27"
NOTHING = b"\x00"
FAILURE = 0x80


def write_connect(
    client_id: str,
    *,
    username: str,
    password: str | None,
    will: Will | None,
    keepalive_s: int,
    receive_maximum: int,
    packet_limit: int,
) -> bytes:
    """CONNECT with a clean start (MQTT 5.0, section 3.1)."""
    flags = CLEAN_START | (USER if username else 0) | (0 if password is None else PASSWORD)
    tail = _sized(client_id.encode())
    if will is not None:
        flags |= WILL | will.qos << 3 | (RETAINED_WILL if will.retain else 0)
        tail += NOTHING + _sized(will.topic.encode()) + _sized(will.payload)
    if username:
        tail += _sized(username.encode())
    if password is not None:
        tail += _sized(password.encode())
    flow = RECEIVE_MAXIMUM + receive_maximum.to_bytes(2, "big") + MAXIMUM_PACKET_SIZE + packet_limit.to_bytes(4, "big")
    head = PROTOCOL + bytes([flags]) + keepalive_s.to_bytes(2, "big") + _number(len(flow)) + flow
    return b"\x10" + _number(len(head) + len(tail)) + head + tail


def write_publish(message: Outgoing, packet_id: int) -> bytes:
    """PUBLISH (section 3.3); a message of QoS 0 has no identifier."""
    properties = b""
    if message.expiry_s is not None:
        properties += EXPIRY + message.expiry_s.to_bytes(4, "big")
    if message.response_topic is not None:
        properties += RESPONSE_TOPIC + _sized(message.response_topic.encode())
    if message.correlation is not None:
        properties += CORRELATION + _sized(message.correlation)
    number = packet_id.to_bytes(2, "big") if message.qos else b""
    head = _sized(message.topic.encode()) + number + _number(len(properties)) + properties
    first = 0x30 | message.qos << 1 | message.retain
    return b"".join((bytes([first]), _number(len(head) + len(message.payload)), head, message.payload))


def write_puback(packet_id: int) -> bytes:
    """PUBACK of success (section 3.4)."""
    return b"\x40\x02" + packet_id.to_bytes(2, "big")


def write_subscribe(packet_id: int, topic_filter: str, qos: int) -> bytes:
    """SUBSCRIBE (section 3.8).

    Its options leave the retain flag as in version 3.1.1: it says whether a message was kept for who comes later.
    """
    body = packet_id.to_bytes(2, "big") + NOTHING + _sized(topic_filter.encode()) + bytes([qos])
    return b"\x82" + _number(len(body)) + body


def write_unsubscribe(packet_id: int, topic_filter: str) -> bytes:
    """UNSUBSCRIBE (section 3.10)."""
    body = packet_id.to_bytes(2, "big") + NOTHING + _sized(topic_filter.encode())
    return b"\xa2" + _number(len(body)) + body


class Answered(NamedTuple):
    """What a broker says of a request: the packet it is about (0: none), its codes, and the properties it announces."""

    packet_id: int
    codes: list[int]
    properties: Properties | None = None

    def failures(self, kind: int) -> list[str]:
        """Words for the codes that are failures, as an acknowledgement of the given packet type has them."""
        return [words(kind, code) for code in self.codes if code >= FAILURE]


def read_answer(frame: Frame) -> Answered:
    """Read CONNACK, PUBACK, SUBACK, UNSUBACK or DISCONNECT.

    Raises
    ------
    BrokerError
        When it is malformed.
    """
    kind, body = frame.kind, bytes(frame.packet[frame.body_at :])
    try:
        if kind == PUBACK:
            return Answered(body[0] << 8 | body[1], [body[2] if len(body) > 2 else 0])
        if kind == DISCONNECT:
            return Answered(0, [body[0] if body else 0])
        properties, size = Properties(kind).unpack(body[2:])  # type: ignore[no-untyped-call]
        if kind == CONNACK:
            return Answered(0, [body[1]], properties)
        return Answered(body[0] << 8 | body[1], list(body[2 + size :]), properties)
    except Exception as error:  # whatever the library makes of properties that are none
        raise BrokerError(f"the broker sends a malformed packet of type {kind}, {len(body)} bytes: {error}") from error


def words(kind: int, code: int) -> str:
    """Name of a reason code in a packet of the given type."""
    try:
        return str(ReasonCode(kind, identifier=code))
    except KeyError:
        return f"code {code:#04x}"


def _sized(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data


def _number(value: int) -> bytes:
    """Write a variable byte integer (section 1.5.5)."""
    if value < 0x80:
        return bytes([value])
    found = bytearray()
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)
