"""One of many connections that a load generator serves in one thread, as cheap as the packets themselves."""

from __future__ import annotations

import socket
from collections.abc import Callable

from specnet.errors import BrokerError
from specnet.mqtt.frames import Frame, Frames, read_publish
from specnet.mqtt.packets import (
    CONNACK,
    FAILURE,
    FAREWELL,
    PUBACK,
    PUBLISH,
    SUBACK,
    read_answer,
    words,
    write_connect,
    write_puback,
    write_publish,
    write_subscribe,
)
from specnet.mqtt.window import Outgoing

CONNECT_TIMEOUT_S = 30.0
KEEPALIVE_S = 0
"""No keep-alive: whoever makes load speaks all the time."""
PACKET_LIMIT = 400_000
READ_BYTES = 65_536
LARGEST_ID = 65_535


class Client:
    """A client of MQTT 5 with one subscription; whoever has many of them waits for their sockets.

    Parameters
    ----------
    client_id
        Name at the broker.
    topic_filter
        What to subscribe to, with QoS 1.
    on_message
        Called with the payload of each message.

    Attributes
    ----------
    subscribed
        The broker has granted the subscription of this connection.
    """

    def __init__(self, client_id: str, topic_filter: str, on_message: Callable[[bytes], None]) -> None:
        self._client_id, self._topic_filter, self._on_message = client_id, topic_filter, on_message
        self._socket: socket.socket | None = None
        self._frames = Frames(PACKET_LIMIT)
        self._unsent = bytearray()
        self._next_id = 0
        self.subscribed = False

    @property
    def connected(self) -> bool:
        """Whether there is a connection."""
        return self._socket is not None

    @property
    def wants_to_write(self) -> bool:
        """Whether packets wait for the socket."""
        return bool(self._unsent)

    def fileno(self) -> int:
        """Descriptor of the socket, for selectors; -1 without a connection."""
        return -1 if self._socket is None else self._socket.fileno()

    def connect(self, port: int) -> None:
        """Connect to a broker on this machine and ask for the subscription; `OSError` when nobody listens."""
        self.drop()
        sock = socket.create_connection(("127.0.0.1", port), CONNECT_TIMEOUT_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        self._socket = sock
        self._unsent += write_connect(
            self._client_id,
            username="",
            password=None,
            will=None,
            keepalive_s=KEEPALIVE_S,
            receive_maximum=LARGEST_ID,
            packet_limit=PACKET_LIMIT,
        )
        self._unsent += write_subscribe(self._number(), self._topic_filter, 1)
        self.write()

    def publish(self, topic: str, payload: bytes, response_topic: str, correlation: bytes) -> None:
        """Send a message with QoS 1, by `write`; without a connection it is dropped."""
        if self._socket is not None:
            message = Outgoing(topic, payload, 1, False, None, response_topic, correlation)
            self._unsent += write_publish(message, self._number())

    def read(self) -> bool:
        """Take what has come; False when the connection is over.

        Raises
        ------
        BrokerError
            When the broker refuses the connection or the subscription, or talks nonsense.
        """
        if self._socket is None:
            return False
        try:
            data = self._socket.recv(READ_BYTES)
        except BlockingIOError:
            return True
        except OSError:
            data = b""
        if not data:
            self.drop()
            return False
        for frame in self._frames.feed(data):
            self._take(frame)
        return True

    def write(self) -> None:
        """Send what the socket takes."""
        if self._socket is None or not self._unsent:
            return
        try:
            sent = self._socket.send(self._unsent)
        except BlockingIOError:
            return
        except OSError:  # reading tells
            self._unsent.clear()
            return
        del self._unsent[:sent]

    def leave(self) -> None:
        """Say farewell and disconnect."""
        self._unsent += FAREWELL
        self.write()
        self.drop()

    def drop(self) -> None:
        """Disconnect without a word, and forget what was not sent."""
        if self._socket is not None:
            self._socket.close()
        self._socket, self.subscribed = None, False
        self._frames = Frames(PACKET_LIMIT)
        self._unsent.clear()

    def _number(self) -> int:
        self._next_id = self._next_id % LARGEST_ID + 1
        return self._next_id

    def _take(self, frame: Frame) -> None:
        if frame.kind == PUBLISH:
            message = read_publish(frame)
            if message.qos:
                self._unsent += write_puback(message.packet_id)
            self._on_message(message.payload)
        elif frame.kind in (CONNACK, SUBACK):
            (code,) = read_answer(frame).codes
            if code >= FAILURE:
                raise BrokerError(f"the broker refuses {self._client_id}: {words(frame.kind, code)}")
            self.subscribed = frame.kind == SUBACK
        elif frame.kind != PUBACK:
            raise BrokerError(f"the broker sends {self._client_id} a packet of type {frame.kind}")
