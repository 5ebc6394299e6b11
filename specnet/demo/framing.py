"""Cutting a stream of TCP into what a link charges for: MQTT packets, or pieces of some length.

MQTT is read only as far as its frames and the two properties by which a request and its result are known (MQTT 5.0,
sections 1.5, 2.1 and 3.3); nothing is checked, because the two ends do that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

PUBLISH = 3
_RESPONSE_TOPIC, _CORRELATION = 0x08, 0x09
_FIXED = {0x01: 1, 0x02: 4, 0x23: 2}
_TEXTS = {0x03: 1, _RESPONSE_TOPIC: 1, _CORRELATION: 1, 0x26: 2}
_VARINT = 0x0B


@dataclass(frozen=True)
class Frame:
    """Bytes that travel together.

    Parameters
    ----------
    data
        As they are on the stream.
    payload_bytes
        Payload of a PUBLISH; None for what is no message of an application.
    topic
        Of a PUBLISH.
    asks
        Whether somebody waits for the answer: a PUBLISH with a response topic.
    correlation
        Correlation data; empty without.
    """

    data: bytes
    payload_bytes: int | None = None
    topic: str = ""
    asks: bool = False
    correlation: bytes = b""


class Framer(Protocol):
    """Cuts the stream of one direction of one connection."""

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Give the frames that `data` completes."""


class ChunkFramer:
    """Pieces of at most so many bytes, each a message of its own that somebody waits for; they wait for nothing."""

    def __init__(self, chunk_bytes: int = 1400) -> None:
        self._chunk_bytes = chunk_bytes

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Give the pieces of `data`."""
        for start in range(0, len(data), self._chunk_bytes):
            piece = data[start : start + self._chunk_bytes]
            yield Frame(piece, len(piece), asks=True)


class MqttFramer:
    """Packets of MQTT 5; those of 3.1.1 are cut rightly too, but are not known as requests."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Give the packets that `data` completes.

        Raises
        ------
        ValueError
            When this is no MQTT.
        """
        self._held += data
        while (end := _packet_end(self._held)) is not None:
            packet = bytes(self._held[:end])
            del self._held[:end]
            yield _publish(packet) if packet[0] >> 4 == PUBLISH else Frame(packet)


def _packet_end(held: bytearray) -> int | None:
    """Where the first packet ends; None when it is not whole yet."""
    if len(held) < 2:
        return None
    head = bytes(held[:5])
    if all(byte & 0x80 for byte in head[1:]):
        if len(head) == 5:
            raise ValueError(f"no MQTT: a length of more than 4 bytes, {head.hex()}")
        return None
    length, start = _varint(head, 1)
    return start + length if len(held) >= start + length else None


def _publish(packet: bytes) -> Frame:
    try:
        _, place = _varint(packet, 1)
        topic, place = _text(packet, place)
        if packet[0] & 0x06:
            place += 2
        size, start = _varint(packet, place)
        found = dict(_properties(packet, start, start + size))
    except (IndexError, KeyError):
        # 3.1.1 has no properties: what was read as such was the payload
        return Frame(packet, len(packet))
    return Frame(
        packet,
        len(packet) - start - size,
        topic.decode(errors="replace"),
        asks=_RESPONSE_TOPIC in found,
        correlation=found.get(_CORRELATION, b""),
    )


def _properties(packet: bytes, place: int, end: int) -> Iterator[tuple[int, bytes]]:
    if end > len(packet):
        raise IndexError(end)
    while place < end:
        name, value = packet[place], b""
        place += 1
        if name in _FIXED:
            place += _FIXED[name]
        elif name == _VARINT:
            _, place = _varint(packet, place)
        else:
            for _ in range(_TEXTS[name]):
                value, place = _text(packet, place)
        yield name, value


def _text(packet: bytes, place: int) -> tuple[bytes, int]:
    start = place + 2
    end = start + int.from_bytes(packet[place:start], "big")
    if end > len(packet):
        raise IndexError(end)
    return packet[start:end], end


def _varint(packet: bytes, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 28, 7):
        byte = packet[place]
        value |= (byte & 0x7F) << shift
        place += 1
        if not byte & 0x80:
            break
    return value, place
