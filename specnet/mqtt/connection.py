"""One connection to a broker, from the TCP handshake to its end."""

from __future__ import annotations

import logging
import math
import socket
import threading
import time
from dataclasses import dataclass
from typing import Any, Protocol

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from specnet.errors import SpecnetError
from specnet.mqtt.buffered import BufferedClient
from specnet.mqtt.messages import Incoming, Will
from specnet.mqtt.protocol import Answer, Version
from specnet.mqtt.settings import BrokerSettings
from specnet.mqtt.window import Admission, Outgoing, SendWindow

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

    def accepted(self, connection: Connection) -> None:
        """Hear that the broker has accepted the connection."""

    def received(self, incoming: Incoming) -> None:
        """Hear that a message has arrived."""

    def granted(self) -> None:
        """Hear that the broker has taken a subscription."""

    def released(self) -> None:
        """Hear that the broker has ended a subscription."""

    def refused(self, what: str) -> None:
        """Hear that the broker has refused a subscription or a publish."""


class Connection:
    """One paho client for one connection.

    What the broker has not acknowledged goes with it and is never sent again by surprise.

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

    def __init__(
        self,
        settings: BrokerSettings,
        client_id: str,
        *,
        version: Version,
        probe: bool,
        will: Will | None,
        manual_ack: bool,
        receive_maximum: int,
        listener: Listener,
    ) -> None:
        self.version = version
        self.packet_limit: int | None = None
        self._settings = settings
        self._probe = probe
        self._receive_maximum = receive_maximum
        self._listener = listener
        self._window = SendWindow(WINDOW)
        self._closing = threading.Event()
        self._close_deadline = math.inf
        self._over = False
        self._answer: Answer | None = None
        self._accepted_at: float | None = None
        self._reason = ""
        self._credentials = False
        self._complaints = _Complaints()
        self._client = self._make_client(client_id, None if probe else will, manual_ack)

    def run(self, stopping: threading.Event) -> End:
        """Connect and serve the connection until it ends or `stopping` is set before the broker has answered."""
        try:
            self._open()
            self._serve(stopping)
        except Exception as error:
            # whatever a foreign peer provokes inside the library ends one connection, not the service
            expected = isinstance(error, (OSError, SpecnetError))
            self._note_end(str(error) if expected else f"{type(error).__name__}: {error}")
        finally:
            lost = self._window.outstanding()
            self._discard_client()
        lasted = 0.0 if self._accepted_at is None or self._probe else time.monotonic() - self._accepted_at
        answer = self._answer or Answer.UNREACHABLE
        return End(answer, self._reason or "closed", self._credentials, lasted, lost)

    def close(self) -> None:
        """Send a DISCONNECT, so that the broker drops the will. Callable from any thread."""
        self._close_deadline = time.monotonic() + CLOSE_TIMEOUT_S
        self._closing.set()
        self._client.disconnect()

    def send(self, message: Outgoing) -> bool:
        """Send a message or let it wait for a place in the window; False when there is no room or no connection."""
        admission = self._window.admit(message)
        if admission is Admission.SEND:
            return self._transmit(message)
        return admission is Admission.WAIT

    def flush(self, timeout: float) -> bool:
        """Wait until the broker has acknowledged everything."""
        return self._window.wait_until_empty(timeout)

    def subscribe(self, topic_filter: str, qos: int) -> None:
        """Send a SUBSCRIBE."""
        self._client.subscribe(topic_filter, qos)

    def unsubscribe(self, topic_filter: str) -> None:
        """Send an UNSUBSCRIBE."""
        self._client.unsubscribe(topic_filter)

    def acknowledge(self, packet_id: int, qos: int) -> bool:
        """Acknowledge a message that came on this connection; False when the connection is over."""
        if self._over:
            return False
        return self._client.ack(packet_id, qos) == MQTTErrorCode.MQTT_ERR_SUCCESS

    def _make_client(self, client_id: str, will: Will | None, manual_ack: bool) -> paho.Client:
        five = self.version == "5"
        client = BufferedClient(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=None if five else True,
            protocol=MQTTProtocolVersion.MQTTv5 if five else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
            manual_ack=manual_ack,
        )
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.max_inflight_messages = 0  # the window counts
        if will is not None:
            client.will_set(will.topic, will.payload, will.qos, will.retain)
        client.on_socket_open = _without_delay
        # With this callback set, publishing threads only wake the network thread. Without it paho would write to the
        # socket, and report a broken connection, from whichever thread happens to publish.
        client.on_socket_register_write = _nothing
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.on_unsubscribe = self._on_unsubscribe
        client.enable_logger(self._complaints.logger)
        return client

    def _open(self) -> None:
        settings = self._settings
        if settings.username:
            self._client.username_pw_set(settings.username, settings.password())
        context = settings.tls_context()
        if context is not None:
            self._client.tls_set_context(context)
        properties = None
        if self.version == "5" and not self._probe:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.ReceiveMaximum = self._receive_maximum
            properties.MaximumPacketSize = settings.max_payload_bytes + PACKET_OVERHEAD_BYTES
        if self.version == "5":
            self._client.connect(
                settings.host, settings.port, settings.keepalive_s, clean_start=True, properties=properties
            )
        else:
            self._client.connect(settings.host, settings.port, settings.keepalive_s)
        self._answer = Answer.SILENT

    def _serve(self, stopping: threading.Event) -> None:
        deadline = time.monotonic() + ANSWER_TIMEOUT_S
        while not self._over:
            waiting = self._accepted_at is None
            if waiting and stopping.is_set():
                self._note_end("stopped before the broker answered")
                return
            if waiting and time.monotonic() > deadline:
                self._note_end(f"no answer to CONNECT in {ANSWER_TIMEOUT_S:g} s")
                return
            if time.monotonic() > self._close_deadline:
                self._note_end("closed by us; the broker did not take the DISCONNECT")
                return
            code = self._client.loop(0.1 if waiting or self._closing.is_set() else 1.0)
            if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
                self._note_end(self._complaints.last or paho.error_string(code))

    def _transmit(self, message: Outgoing) -> bool:
        info = self._client.publish(message.topic, message.payload, message.qos, message.retain, message.properties)
        return info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS

    def _discard_client(self) -> None:
        self._over = True
        client = self._client
        sock = client.socket()
        if sock is not None:
            sock.close()
        # the callbacks are bound methods of this object, which holds the client: without the cycle both go at once
        client.on_connect = client.on_disconnect = client.on_message = client.on_publish = None
        client.on_subscribe = client.on_unsubscribe = None
        client.on_socket_open = client.on_socket_register_write = None

    def _note_end(self, reason: str) -> None:
        self._over = True
        self._reason = self._reason or reason

    def _on_connect(
        self, client: paho.Client, _data: Any, _flags: Any, code: ReasonCode, properties: Properties | None
    ) -> None:
        if code.is_failure:
            self._answer = Answer.WRONG_VERSION if code.value == UNSUPPORTED_VERSION else Answer.OTHER
            self._credentials = code.value in CREDENTIAL_CODES
            self._note_end(f"refused: {code}")
            return
        self._answer = Answer.ACCEPTED
        client.disable_logger()  # it would be asked with every packet
        self._accepted_at = time.monotonic()
        if self._probe:
            self.close()
            return
        self.packet_limit = getattr(properties, "MaximumPacketSize", None)
        self._window.limit(getattr(properties, "ReceiveMaximum", WINDOW))
        self._listener.accepted(self)

    def _on_disconnect(self, _client: paho.Client, _data: Any, flags: Any, code: ReasonCode, _properties: Any) -> None:
        if self._closing.is_set():
            self._note_end("closed by us")
        elif flags.is_disconnect_packet_from_server:
            self._note_end(f"the broker disconnected: {code}")
        else:
            # a broker that does not like a certificate says so to OpenSSL, not to MQTT
            self._note_end(self._complaints.last or "connection lost")

    def _on_message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            self._listener.refused("to be read: a message whose topic is not UTF-8")
            self._client.ack(message.mid, message.qos)
            return
        properties = message.properties
        self._listener.received(
            Incoming(
                topic=topic,
                payload=bytes(message.payload),
                qos=message.qos,
                retain=message.retain,
                response_topic=getattr(properties, "ResponseTopic", None),
                correlation=getattr(properties, "CorrelationData", None),
                handle=(self, message.mid),
            )
        )

    def _on_publish(self, _client: paho.Client, _data: Any, _mid: int, code: ReasonCode, _properties: Any) -> None:
        if code.is_failure:
            self._listener.refused(f"a publish: {code}")
        waiting = self._window.release()
        if waiting is not None:
            self._transmit(waiting)

    def _on_subscribe(
        self, _client: paho.Client, _data: Any, _mid: int, codes: list[ReasonCode], _properties: Any
    ) -> None:
        for code in codes:
            if code.is_failure:
                self._listener.refused(f"a subscription: {code}")
            else:
                self._listener.granted()

    def _on_unsubscribe(
        self, _client: paho.Client, _data: Any, _mid: int, _codes: list[ReasonCode], _properties: Any
    ) -> None:
        self._listener.released()


class _Complaints(logging.Handler):
    """The last error that paho tells its logger only."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.logger = logging.Logger("paho", logging.ERROR)
        self.logger.addHandler(self)
        self.last = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.last = record.getMessage()


def _without_delay(_client: paho.Client, _data: Any, sock: Any) -> None:
    # Nagle's algorithm with delayed acknowledgements costs 44 ms a message; see tests/specnet/mqtt
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _nothing(*_arguments: object) -> None:
    pass
