"""Bytes of a message beyond its payload."""

from __future__ import annotations

TCP_IP_BYTES = 52
"""IPv4 (RFC 791) 20, TCP (RFC 9293) 20, its time stamps (RFC 7323) 12, for one segment that carries the message."""

TLS_RECORD_BYTES = 22
"""TLS 1.3 (RFC 8446, section 5.2): header 5, type 1, authentication tag 16."""

ETHERNET_BYTES = 38
"""IEEE 802.3: preamble 8, header 14, check sequence 4, gap 12."""

WIFI_BYTES = 54
"""IEEE 802.11: MAC header with QoS 26, CCMP 16, LLC and SNAP 8, check sequence 4."""

PACKET_ID_BYTES = 2


def publish_bytes(topic: str, properties_bytes: int = 0, payload_bytes: int = 0) -> int:
    """Size of the header of an MQTT 5 PUBLISH of QoS 1 (MQTT 5.0, sections 2 and 3.3): everything but the payload."""
    variable = 2 + len(topic.encode()) + PACKET_ID_BYTES + varint_bytes(properties_bytes) + properties_bytes
    return 1 + varint_bytes(variable + payload_bytes) + variable


def request_properties_bytes(response_topic: str, correlation: str) -> int:
    """Size of the properties that a request of a device carries: message expiry, response topic, correlation data."""
    return 5 + 3 + len(response_topic.encode()) + 3 + len(correlation.encode())


def varint_bytes(value: int) -> int:
    """Size of a variable byte integer (MQTT 5.0, section 1.5.5)."""
    return 1 + (value >= 1 << 7) + (value >= 1 << 14) + (value >= 1 << 21)
