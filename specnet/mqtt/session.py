"""A session with the broker that comes back."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from types import MappingProxyType

from specnet.errors import BrokerError, MessageTooLargeError
from specnet.mqtt.link import LinkMaker, paho_link
from specnet.mqtt.messages import Incoming, Will, check_qos, check_topic, check_topic_filter, packet_bytes
from specnet.mqtt.settings import BrokerSettings
from specnet.mqtt.supervisor import Client, Supervisor
from specnet.mqtt.window import Outgoing

_LOGGER = logging.getLogger(__name__)
MAX_CLIENT_ID_BYTES = 256
LEAST_JOIN_S = 2.0
MAX_EXPIRY_S = 2**32 - 1
MAX_CORRELATION_BYTES = 65_535


class MqttSession:
    """Publish and subscribe for as long as the process lives, whatever the broker does.

    Clean start and session expiry 0: nothing is kept at the broker between connections, because it may lose what it
    keeps; whoever must not lose a message acknowledges end to end and sends again. `on_up`, `on_down` and `on_message`
    run in the session's only thread, which also keeps the connection alive: never block in them (publishing there is
    fine). What they raise is logged and counted.

    Parameters
    ----------
    settings
        The broker.
    client_id
        1 to 256 bytes; a second client of the same name throws the first one out.
    will
        Sent by the broker when this client dies without `stop`.
    on_message
        Called with each message.
    on_up
        Called after each connect, when all subscriptions have been sent.
    on_down
        Called with the reason when an established connection has ended, by `stop` too.
    manual_ack
        Messages of QoS 1 count as delivered only after `acknowledge`; a broker of version 5 then has at most
        `receive_maximum` of them under way. A message whose `on_message` raised is acknowledged, so that it cannot
        block the others.
    receive_maximum
        1 to 65,535.
    logger
        Told once about each change of state, not about each attempt.
    link
        How to speak MQTT 5: by paho, or `specnet.mqtt.direct.DirectConnection` for many small messages.

    Attributes
    ----------
    counters
        Read-only: ``connects``, ``disconnects``, ``published``, ``received``, ``callback_errors``, ``oversize`` (either
        direction), ``subscribed`` (subscriptions that the broker granted, renewed ones
        too), ``unsubscribed`` (subscriptions that the broker has ended as asked), ``refused`` (what the broker refused:
        connections for their credentials, publishes, subscriptions),
        ``congested`` (publishes that found no room), ``lost_in_flight`` (published, but not acknowledged when the
        connection ended), ``stale_acknowledgements``.

    Raises
    ------
    BrokerError
        When client id or receive maximum is invalid.
    MessageTooLargeError
        When the will is over `BrokerSettings.max_payload_bytes`.
    ConfigurationError
        When password or certificate files are unusable.
    """

    def __init__(
        self,
        settings: BrokerSettings,
        client_id: str,
        *,
        will: Will | None = None,
        on_message: Callable[[Incoming], None],
        on_up: Callable[[], None] | None = None,
        on_down: Callable[[str], None] | None = None,
        manual_ack: bool = False,
        receive_maximum: int = 20,
        logger: logging.Logger = _LOGGER,
        link: LinkMaker = paho_link,
    ) -> None:
        if not 1 <= len(client_id.encode()) <= MAX_CLIENT_ID_BYTES:
            raise BrokerError(f"a client id has 1 to {MAX_CLIENT_ID_BYTES} bytes, got {client_id!r}")
        if not 1 <= receive_maximum <= 65_535:
            raise BrokerError(f"receive_maximum is from 1 to 65535, got {receive_maximum}")
        if will is not None and len(will.payload) > settings.max_payload_bytes:
            found, limit = len(will.payload), settings.max_payload_bytes
            raise MessageTooLargeError(f"the will on {will.topic!r} has {found} bytes, the limit is {limit}")
        # files that cannot be read should be known at once, not when the broker is first reached
        settings.password()
        settings.tls_context()
        self._settings = settings
        self._client_id = client_id
        client = Client(client_id, will, on_message, on_up, on_down, manual_ack, receive_maximum, logger, link)
        self._supervisor = Supervisor(settings, client)
        self._ended = False
        self.counters: Mapping[str, int] = MappingProxyType(self._supervisor.counters)

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted the connection and it still stands, as far as keep-alive can tell."""
        return self._supervisor.connection is not None

    @property
    def protocol(self) -> str:
        """``"5"`` or ``"3.1.1"`` while connected, otherwise empty."""
        connection = self._supervisor.connection
        return "" if connection is None else connection.version

    def start(self) -> None:
        """Begin to connect, and return at once; an absent broker is no error.

        Raises
        ------
        BrokerError
            When the session was started or stopped before.
        """
        if self._ended or self._supervisor.thread.ident is not None:
            raise BrokerError(f"the session {self._client_id!r} was already started or stopped: make a new one")
        self._supervisor.thread.start()

    def stop(self, timeout: float = 5.0, farewell: Will | None = None) -> None:
        """Publish `farewell`, let the broker acknowledge what is under way, and disconnect so that it sends no will.

        Parameters
        ----------
        timeout
            Seconds for all of it together; afterwards the connection is dropped.
        farewell
            The last message.

        Raises
        ------
        BrokerError
            When called from one of the session's callbacks, which would wait for itself.
        """
        if threading.current_thread() is self._supervisor.thread:
            raise BrokerError("stop must not be called from a callback of the session")
        deadline = time.monotonic() + timeout
        connection = self._supervisor.connection
        if connection is not None and not self._ended:
            if farewell is not None:
                self.publish(farewell.topic, farewell.payload, qos=farewell.qos, retain=farewell.retain)
            if not connection.flush(max(0.0, deadline - time.monotonic())):
                self._supervisor.log(logging.WARNING, "stopped before everything was acknowledged")
        self._ended = True
        # a little longer even when the time is up: a thread that is only slow should not be left behind
        self._supervisor.stop(max(LEAST_JOIN_S, deadline - time.monotonic()))

    def subscribe(self, topic_filter: str, qos: int = 1) -> None:
        """Subscribe now, when connected, and after each reconnect.

        Raises
        ------
        BrokerError
            When filter or qos is invalid.
        """
        check_topic_filter(topic_filter)
        check_qos(qos)
        self._supervisor.subscribe(topic_filter, qos)

    def unsubscribe(self, topic_filter: str) -> None:
        """End a subscription, now and after each reconnect; messages that are on their way still come.

        The counter ``unsubscribed`` tells when the broker has confirmed it.

        Raises
        ------
        BrokerError
            When the filter is invalid.
        """
        check_topic_filter(topic_filter)
        self._supervisor.unsubscribe(topic_filter)

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 1,
        retain: bool = False,
        expiry_s: int | None = None,
        response_topic: str | None = None,
        correlation: bytes | None = None,
    ) -> bool:
        """Hand a message to the connection, from any thread, without waiting.

        Parameters
        ----------
        topic, payload, qos, retain
            As in MQTT; `qos` is 0 or 1.
        expiry_s, response_topic, correlation
            Properties of MQTT 5; left out on a 3.1.1 broker, so the payload must not depend on them.

        Returns
        -------
        bool
            False when there is no connection, or more is under way than the broker takes: nothing was kept, try again
            later. True promises an attempt, not delivery: what the broker has not acknowledged when the connection
            ends is gone.

        Raises
        ------
        MessageTooLargeError
            When the payload is over `BrokerSettings.max_payload_bytes`, or the packet over the broker's own limit.
        BrokerError
            When topic or qos is invalid.
        """
        check_topic(topic)
        check_qos(qos)
        self._check_size(topic, "payload", len(payload), self._settings.max_payload_bytes)
        connection = self._supervisor.connection
        if connection is None:
            return False
        if connection.version != "5":
            expiry_s = response_topic = correlation = None
        _check_properties(expiry_s, response_topic, correlation)
        if connection.packet_limit is not None:
            size = packet_bytes(topic, payload, response_topic, correlation)
            self._check_size(topic, "packet", size, connection.packet_limit)
        sent = connection.send(Outgoing(topic, payload, qos, retain, expiry_s, response_topic, correlation))
        self._supervisor.count("published" if sent else "congested")
        return sent

    def flush(self, timeout: float) -> bool:
        """Wait until the broker has acknowledged what was published; False after `timeout` seconds, or unconnected.

        Raises
        ------
        BrokerError
            When called from one of the session's callbacks, which would wait for itself.
        """
        if threading.current_thread() is self._supervisor.thread:
            raise BrokerError("flush must not be called from a callback of the session")
        connection = self._supervisor.connection
        return connection is not None and connection.flush(max(0.0, timeout))

    def together(self) -> AbstractContextManager[None]:
        """Let what this thread publishes and acknowledges meanwhile leave at once in the end, where that is cheaper."""
        connection = self._supervisor.connection
        return nullcontext() if connection is None else connection.together()

    def acknowledge(self, incoming: Incoming) -> None:
        """Tell the broker that a message is done with, from any thread; without `manual_ack` it has been told.

        A message that came over an earlier connection cannot be acknowledged any more: that is counted.
        """
        self._supervisor.acknowledge(incoming)

    def _check_size(self, topic: str, what: str, size: int, limit: int) -> None:
        if size > limit:
            self._supervisor.count("oversize")
            raise MessageTooLargeError(f"{what} for {topic!r} has {size} bytes, the limit is {limit}")


def _check_properties(expiry_s: int | None, response_topic: str | None, correlation: bytes | None) -> None:
    if expiry_s is not None and not 0 <= expiry_s <= MAX_EXPIRY_S:
        raise BrokerError(f"expiry_s is from 0 to {MAX_EXPIRY_S}, got {expiry_s}")
    if response_topic is not None:
        check_topic(response_topic)
    if correlation is not None and len(correlation) > MAX_CORRELATION_BYTES:
        raise BrokerError(f"correlation has at most {MAX_CORRELATION_BYTES} bytes, got {len(correlation)}")
