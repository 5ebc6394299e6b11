"""MQTT packets out of a stream of bytes, and the one kind of packet that other clients have filled."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from specnet.errors import BrokerError

ID_BYTES = 2
MOST_LENGTH_BYTES = 4
FIXED_SIZES = {0x01: 1, 0x02: 4, 0x23: 2}
"""Properties of a PUBLISH that are a number, and how long it is (MQTT 5.0, section 2.2.2.2)."""
RESPONSE_TOPIC, CORRELATION_DATA = 0x08, 0x09
SIZED = {0x03, RESPONSE_TOPIC, CORRELATION_DATA}
SUBSCRIPTION_ID, USER_PROPERTY = 0x0B, 0x26


class Frame(NamedTuple):
    """One packet: its first byte, all of it, and where its variable header begins."""

    first: int
    packet: memoryview
    body_at: int

    @property
    def kind(self) -> int:
        """The packet's type, 1 to 15."""
        return self.first >> 4


class Frames:
    """Cuts a stream into packets.

    Parameters
    ----------
    limit
        Most bytes of a packet.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept = bytearray()
        self._needed = 0

    @property
    def held_bytes(self) -> int:
        """Bytes of a packet that is not complete; never more than the limit and what one `feed` brings."""
        return len(self._kept)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Give the packets that are complete now; they are valid until the next call.

        Raises
        ------
        BrokerError
            When a packet is over the limit or its length is malformed.
        """
        if self._kept:
            self._kept += data
            if len(self._kept) < self._needed:
                return
            data = bytes(self._kept)
            self._kept.clear()
        view, at, end = memoryview(data), 0, len(data)
        self._needed = 0
        while at < end:
            head = self._head(data, at)
            if head is None:
                break
            body_at, size = head
            if body_at + size > end:
                self._needed = body_at + size - at
                break
            yield Frame(data[at], view[at : body_at + size], body_at - at)
            at = body_at + size
        self._kept += view[at:]

    def _head(self, data: bytes, at: int) -> tuple[int, int] | None:
        """Where the body of the packet at `at` begins, and its length; None when that is not there yet."""
        try:
            size, body_at = _number(data, at + 1)
        except IndexError:
            return None
        if body_at - at + size > self._limit:
            raise BrokerError(f"the broker sends a packet of {body_at - at + size} bytes, the limit is {self._limit}")
        return body_at, size


class Published(NamedTuple):
    """A PUBLISH that has come; the topic is as received, not checked to be text."""

    topic: bytes
    payload: bytes
    qos: int
    retain: bool
    packet_id: int
    response_topic: str | None
    correlation: bytes | None


def read_publish(frame: Frame) -> Published:
    """Read a PUBLISH of QoS 0 or 1.

    Only what a gateway uses is kept; a property of no use to it costs nothing.

    Raises
    ------
    BrokerError
        When it is malformed, of QoS 2, or its response topic is no text.
    """
    packet, at, qos = frame.packet, frame.body_at, frame.first >> 1 & 3
    if qos > 1:
        raise BrokerError(f"the broker sends a message of QoS {qos}, subscribed was at most 1")
    try:
        topic, at = _sized(packet, at)
        packet_id = 0
        if qos:
            packet_id, at = packet[at] << 8 | packet[at + 1], at + ID_BYTES
        size, at = _number(packet, at)
        if at + size > len(packet):
            raise BrokerError(f"a message announces {size} bytes of properties, {len(packet) - at} are left")
        response_topic, correlation = _properties(packet[at : at + size]) if size else (None, None)
    except (IndexError, UnicodeDecodeError) as error:
        raise BrokerError(f"the broker sends a malformed message of {len(packet)} bytes: {error}") from error
    return Published(
        topic, bytes(packet[at + size :]), qos, bool(frame.first & 1), packet_id, response_topic, correlation
    )


def _properties(data: memoryview) -> tuple[str | None, bytes | None]:
    """Response topic and correlation data; what else there is, is passed over."""
    at, response_topic, correlation = 0, None, None
    while at < len(data):
        name, at = data[at], at + 1
        if name in SIZED:
            value, at = _sized(data, at)
            if name == CORRELATION_DATA:
                correlation = value
            elif name == RESPONSE_TOPIC:
                response_topic = value.decode()
        elif name == USER_PROPERTY:
            _, at = _sized(data, at)
            _, at = _sized(data, at)
        elif name == SUBSCRIPTION_ID:
            _, at = _number(data, at)
        elif name in FIXED_SIZES:
            at += FIXED_SIZES[name]
        else:
            raise BrokerError(f"a message has a property {name:#04x}, which MQTT 5 does not know there")
    if at > len(data):
        raise IndexError("a property is cut off")
    return response_topic, correlation


def _sized(data: memoryview, at: int) -> tuple[bytes, int]:
    """Bytes with their length before them, and where they end."""
    end = at + 2 + (data[at] << 8 | data[at + 1])
    if end > len(data):
        raise IndexError("a field is cut off")
    return bytes(data[at + 2 : end]), end


def _number(data: bytes | memoryview, at: int) -> tuple[int, int]:
    """Read a variable byte integer (section 1.5.5): its value, and where it ends."""
    value = 0
    for place in range(MOST_LENGTH_BYTES):
        byte = data[at + place]
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, at + place + 1
    raise BrokerError("the broker sends a length of more than four bytes")
