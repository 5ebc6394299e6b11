"""One connection to a broker by way of paho."""

from __future__ import annotations

import logging
import socket
import threading
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from specnet.errors import SpecnetError
from specnet.mqtt.buffered import BufferedClient
from specnet.mqtt.link import CONNECT_TIMEOUT_S, PACKET_OVERHEAD_BYTES, WINDOW, Course, End, Receipt, Terms
from specnet.mqtt.messages import Incoming, Will
from specnet.mqtt.window import Admission, Outgoing, SendWindow


class Connection:
    """One paho client for one connection; see `specnet.mqtt.link.Link`, and `Terms` there."""

    def __init__(self, terms: Terms) -> None:
        self.version = terms.version
        self.packet_limit: int | None = None
        self._settings = terms.settings
        self._probe = terms.probe
        self._receive_maximum = terms.receive_maximum
        self._listener = terms.listener
        self._window = SendWindow(WINDOW)
        self._course = Course()
        self._complaints = _Complaints()
        self._client = self._make_client(terms.client_id, None if terms.probe else terms.will, terms.manual_ack)

    def run(self, stopping: threading.Event) -> End:
        """Connect and serve the connection until it ends or `stopping` is set before the broker has answered."""
        try:
            self._open()
            self._serve(stopping)
        except Exception as error:
            # whatever a foreign peer provokes inside the library ends one connection, not the service
            expected = isinstance(error, (OSError, SpecnetError))
            self._course.end(str(error) if expected else f"{type(error).__name__}: {error}")
        finally:
            lost = self._window.outstanding()
            self._discard_client()
        return self._course.summary(lost, probe=self._probe)

    def close(self) -> None:
        """Send a DISCONNECT, so that the broker drops the will. Callable from any thread."""
        self._course.close()
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
        if self._course.over:
            return False
        return self._client.ack(packet_id, qos) == MQTTErrorCode.MQTT_ERR_SUCCESS

    def together(self) -> AbstractContextManager[None]:
        """No difference: paho's thread sends packet by packet."""
        return nullcontext()

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
        self._course.asked()

    def _serve(self, stopping: threading.Event) -> None:
        while True:
            self._course.look_at_the_clock(stopping)
            if self._course.over:
                return
            code = self._client.loop(0.1 if self._course.waiting or self._course.closing.is_set() else 1.0)
            if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
                self._course.end(self._complaints.last or paho.error_string(code))

    def _transmit(self, message: Outgoing) -> bool:
        properties = _properties(message) if self.version == "5" else None
        info = self._client.publish(message.topic, message.payload, message.qos, message.retain, properties)
        return info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS

    def _discard_client(self) -> None:
        self._course.over = True
        client = self._client
        sock = client.socket()
        if sock is not None:
            sock.close()
        # the callbacks are bound methods of this object, which holds the client: without the cycle both go at once
        client.on_connect = client.on_disconnect = client.on_message = client.on_publish = None
        client.on_subscribe = client.on_unsubscribe = None
        client.on_socket_open = client.on_socket_register_write = None

    def _on_connect(
        self, client: paho.Client, _data: Any, _flags: Any, code: ReasonCode, properties: Properties | None
    ) -> None:
        if code.is_failure:
            self._course.refuse(code.value, str(code))
            return
        self._course.accept()
        client.disable_logger()  # it would be asked with every packet
        if self._probe:
            self.close()
            return
        self.packet_limit = getattr(properties, "MaximumPacketSize", None)
        self._window.limit(getattr(properties, "ReceiveMaximum", WINDOW))
        self._listener.accepted(self)

    def _on_disconnect(self, _client: paho.Client, _data: Any, flags: Any, code: ReasonCode, _properties: Any) -> None:
        if self._course.closing.is_set():
            self._course.end("closed by us")
        elif flags.is_disconnect_packet_from_server:
            self._course.end(f"the broker disconnected: {code}")
        else:
            # a broker that does not like a certificate says so to OpenSSL, not to MQTT
            self._course.end(self._complaints.last or "connection lost")

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
                handle=Receipt(self, message.mid),
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


def _properties(message: Outgoing) -> Properties:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    if message.expiry_s is not None:
        properties.MessageExpiryInterval = message.expiry_s
    if message.response_topic is not None:
        properties.ResponseTopic = message.response_topic
    if message.correlation is not None:
        properties.CorrelationData = message.correlation
    return properties


def _without_delay(_client: paho.Client, _data: Any, sock: Any) -> None:
    # Nagle's algorithm with delayed acknowledgements costs 44 ms a message; see tests/specnet/mqtt
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _nothing(*_arguments: object) -> None:
    pass
