"""What goes in and out of a session, and the limits that MQTT itself sets."""

from __future__ import annotations

from dataclasses import dataclass, field

from specnet.errors import BrokerError

MAX_TOPIC_BYTES = 65_535
FIXED_HEADER_BYTES = 5
PACKET_ID_BYTES = 2
MOST_LENGTH_BYTES = 4
EXPIRY_BYTES = 5
PROPERTY_HEAD_BYTES = 3


def check_qos(qos: int) -> None:
    """Refuse what the session does not offer.

    Raises
    ------
    BrokerError
        When `qos` is neither 0 nor 1. QoS 2 promises nothing that end-to-end acknowledgement does not give better.
    """
    if qos not in (0, 1):
        raise BrokerError(f"qos is 0 or 1, got {qos!r}")


def check_topic(topic: str) -> None:
    """Refuse a topic that cannot be published to.

    Raises
    ------
    BrokerError
        When it is empty, too long, or contains a wildcard or NUL.
    """
    check_topic_filter(topic)
    if "+" in topic or "#" in topic:
        raise BrokerError(f"a topic to publish to has no wildcard, got {topic!r}")


def check_topic_filter(topic_filter: str) -> None:
    """Refuse a topic filter that no broker accepts.

    Raises
    ------
    BrokerError
        When it is empty, over 65,535 bytes, no valid text, or a wildcard stands where none may.
    """
    try:
        size = len(topic_filter.encode())
    except UnicodeEncodeError as error:
        raise BrokerError(f"a topic is UTF-8 text, got {topic_filter!r}") from error
    if not 1 <= size <= MAX_TOPIC_BYTES or "\0" in topic_filter:
        raise BrokerError(
            f"a topic has 1 to {MAX_TOPIC_BYTES} bytes and no NUL, got {topic_filter[:80]!r} ({size} bytes)"
        )
    levels = topic_filter.split("/")
    misplaced = any(
        "#" in level and (level != "#" or position != len(levels) - 1) for position, level in enumerate(levels)
    )
    if misplaced or any("+" in level and level != "+" for level in levels):
        raise BrokerError(f"+ stands for a whole level and # for the last one, got {topic_filter!r}")


@dataclass(frozen=True)
class Will:
    """A message that speaks for a client: the broker sends it when the client dies, or the client itself as a farewell.

    Parameters
    ----------
    topic, payload, qos, retain
        As in a publish; `qos` is 0 or 1.

    Raises
    ------
    BrokerError
        When topic or qos is invalid.
    """

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = True

    def __post_init__(self) -> None:
        check_topic(self.topic)
        check_qos(self.qos)


@dataclass(frozen=True)
class Incoming:
    """A message from the broker.

    Parameters
    ----------
    topic, payload, qos, retain
        As received.
    response_topic, correlation
        Properties of MQTT 5; None when absent, and always on a 3.1.1 broker.
    handle
        What `MqttSession.acknowledge` needs; of no meaning to anybody else.
    """

    topic: str
    payload: bytes
    qos: int
    retain: bool
    response_topic: str | None = None
    correlation: bytes | None = None
    handle: object = field(default=None, repr=False, compare=False)


def packet_bytes(topic: str, payload: bytes, response_topic: str | None, correlation: bytes | None) -> int:
    """Give an upper bound of a PUBLISH packet's size in bytes on the wire (MQTT 5.0, section 3.3)."""
    properties = MOST_LENGTH_BYTES + EXPIRY_BYTES
    properties += 0 if response_topic is None else PROPERTY_HEAD_BYTES + len(response_topic.encode())
    properties += 0 if correlation is None else PROPERTY_HEAD_BYTES + len(correlation)
    return FIXED_HEADER_BYTES + 2 + len(topic.encode()) + PACKET_ID_BYTES + properties + len(payload)
