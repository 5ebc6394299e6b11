"""What a session asks of one connection to a broker, and how far a connection has come."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from specnet.mqtt.messages import Incoming, Will
from specnet.mqtt.protocol import Answer, Version
from specnet.mqtt.settings import BrokerSettings
from specnet.mqtt.window import Outgoing

CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 0.5
WINDOW = 100
PACKET_OVERHEAD_BYTES = 66_000  # the longest topic, and the properties that specnet uses
UNSUPPORTED_VERSION = 0x84
CREDENTIAL_CODES = frozenset({0x86, 0x87, 0x8A, 0x8C})  # bad user or password, not authorised, banned, bad method


@dataclass(frozen=True)
class End:
    """How a connection ended.

    Parameters
    ----------
    answer
        What the broker made of the CONNECT.
    reason
        For the log.
    credentials
        The broker did not like who we are: waiting will not help, somebody has to act.
    lasted_s
        Time between the broker's acceptance and the end, in seconds; 0 when it never accepted.
    lost
        Messages that had been handed over and were not acknowledged.
    """

    answer: Answer
    reason: str
    credentials: bool
    lasted_s: float
    lost: int


class Listener(Protocol):
    """Who hears about a connection. Everything is called in the thread that runs the connection, and must not raise."""

    def accepted(self, connection: Link) -> None:
        """Hear that the broker has accepted the connection."""

    def received(self, incoming: Incoming) -> None:
        """Hear that a message has arrived."""

    def granted(self) -> None:
        """Hear that the broker has taken a subscription."""

    def released(self) -> None:
        """Hear that the broker has ended a subscription."""

    def refused(self, what: str) -> None:
        """Hear that the broker has refused a subscription or a publish."""


class Link(Protocol):
    """One connection, from the TCP handshake to its end.

    What the broker has not acknowledged goes with it and is never sent again by surprise. All but `run` may be called
    from any thread.
    """

    version: Version
    packet_limit: int | None

    def run(self, stopping: threading.Event) -> End:
        """Connect and serve the connection until it ends or `stopping` is set before the broker has answered."""

    def close(self) -> None:
        """Send a DISCONNECT, so that the broker drops the will."""

    def send(self, message: Outgoing) -> bool:
        """Send a message or let it wait for a place in the window; False when there is no room or no connection."""

    def flush(self, timeout: float) -> bool:
        """Wait until the broker has acknowledged everything."""

    def subscribe(self, topic_filter: str, qos: int) -> None:
        """Send a SUBSCRIBE."""

    def unsubscribe(self, topic_filter: str) -> None:
        """Send an UNSUBSCRIBE."""

    def acknowledge(self, packet_id: int, qos: int) -> bool:
        """Acknowledge a message that came on this connection; False when the connection is over."""

    def together(self) -> AbstractContextManager[None]:
        """Let what this thread sends meanwhile leave at once in the end, where that is cheaper."""


@dataclass(frozen=True)
class Terms:
    """On what terms to connect.

    Parameters
    ----------
    settings, client_id, will
        As in `specnet.mqtt.MqttSession`.
    version
        Protocol version to speak.
    probe
        Send a plain CONNECT and leave once the broker has answered; see `specnet.mqtt.protocol.VersionChoice`.
    manual_ack, receive_maximum
        Flow from the broker.
    listener
        Told what happens.
    """

    settings: BrokerSettings
    client_id: str
    version: Version
    probe: bool
    will: Will | None
    manual_ack: bool
    receive_maximum: int
    listener: Listener


LinkMaker = Callable[[Terms], Link]
"""Makes connections, which connect in `Link.run`."""


def paho_link(terms: Terms) -> Link:
    """Make a connection by way of paho.

    It is loaded here, for the first connection: with what it needs it takes 4 MB, and a node without a broker has none.
    """
    from specnet.mqtt.connection import Connection

    return Connection(terms)


class Receipt(NamedTuple):
    """What acknowledges a message: the connection that it came with, and its number there."""

    link: Link
    packet_id: int


class Course:
    """How far a connection has come, and why it ended."""

    def __init__(self) -> None:
        self.over = False
        self.answer: Answer | None = None
        self.reason = ""
        self._credentials = False
        self._accepted_at: float | None = None
        self._answer_deadline = math.inf
        self._close_deadline = math.inf
        self.closing = threading.Event()

    @property
    def waiting(self) -> bool:
        """Whether the broker has not accepted yet."""
        return self._accepted_at is None

    def asked(self) -> None:
        """Note that the CONNECT is on its way."""
        self.answer = Answer.SILENT
        self._answer_deadline = time.monotonic() + ANSWER_TIMEOUT_S

    def accept(self) -> None:
        """Note that the broker has accepted."""
        self.answer, self._accepted_at = Answer.ACCEPTED, time.monotonic()

    def refuse(self, code: int, text: str) -> None:
        """Note that the broker has refused, with its reason code."""
        self.answer = Answer.WRONG_VERSION if code == UNSUPPORTED_VERSION else Answer.OTHER
        self._credentials = code in CREDENTIAL_CODES
        self.end(f"refused: {text}")

    def close(self) -> None:
        """Note that this side wants to end it; callable from any thread."""
        self._close_deadline = time.monotonic() + CLOSE_TIMEOUT_S
        self.closing.set()

    def end(self, reason: str) -> None:
        """Note the end; the first reason counts."""
        self.over = True
        self.reason = self.reason or reason

    def look_at_the_clock(self, stopping: threading.Event) -> None:
        """End what has waited for too long."""
        if self.waiting and stopping.is_set():
            self.end("stopped before the broker answered")
        elif self.waiting and time.monotonic() > self._answer_deadline:
            self.end(f"no answer to CONNECT in {ANSWER_TIMEOUT_S:g} s")
        elif time.monotonic() > self._close_deadline:
            self.end("closed by us; the broker did not take the DISCONNECT")

    def summary(self, lost: int, *, probe: bool = False) -> End:
        """Describe the end; a probe has not lasted."""
        lasted = 0.0 if self._accepted_at is None or probe else time.monotonic() - self._accepted_at
        return End(self.answer or Answer.UNREACHABLE, self.reason or "closed", self._credentials, lasted, lost)
