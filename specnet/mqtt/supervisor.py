"""The thread that connects, serves the connection, and connects again."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass

from specnet.mqtt.backoff import BackOff
from specnet.mqtt.link import End, Link, LinkMaker, Receipt, Terms, paho_link
from specnet.mqtt.messages import Incoming, Will
from specnet.mqtt.protocol import VersionChoice
from specnet.mqtt.settings import BrokerSettings

COUNTERS = (
    "connects",
    "disconnects",
    "published",
    "received",
    "callback_errors",
    "oversize",
    "subscribed",
    "unsubscribed",
    "refused",
    "congested",
    "lost_in_flight",
    "stale_acknowledgements",
)


@dataclass(frozen=True)
class Client:
    """Who connects, and whom to tell. See `specnet.mqtt.MqttSession` for the fields."""

    client_id: str
    will: Will | None
    on_message: Callable[[Incoming], None]
    on_up: Callable[[], None] | None
    on_down: Callable[[str], None] | None
    manual_ack: bool
    receive_maximum: int
    logger: logging.Logger
    link: LinkMaker = paho_link


class Supervisor:
    """Keeps one connection standing.

    `accepted`, `received`, `granted`, `released` and `refused` are what the connection tells it.

    Parameters
    ----------
    settings
        The broker.
    client
        The client of it.
    """

    def __init__(self, settings: BrokerSettings, client: Client) -> None:
        self.counters = dict.fromkeys(COUNTERS, 0)
        self.connection: Link | None = None
        self.thread = threading.Thread(target=self._run, name=f"mqtt-{client.client_id}", daemon=True)
        self._settings = settings
        self._client = client
        self._where = f"broker {settings.host}:{settings.port}"
        self._versions = VersionChoice(settings.protocol)
        self._back_off = BackOff(settings.reconnect_min_s, settings.reconnect_max_s, random.Random())
        self._attempt: Link | None = None
        self._subscriptions: dict[str, int] = {}
        self._said: set[str] = set()
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._subscribing = threading.Lock()

    def subscribe(self, topic_filter: str, qos: int) -> None:
        """Remember a subscription, and send it when there is a connection."""
        with self._subscribing:
            self._subscriptions[topic_filter] = qos
            if self.connection is not None:
                self.connection.subscribe(topic_filter, qos)

    def unsubscribe(self, topic_filter: str) -> None:
        """Forget a subscription, and tell the broker when there is a connection."""
        with self._subscribing:
            self._subscriptions.pop(topic_filter, None)
            if self.connection is not None:
                self.connection.unsubscribe(topic_filter)

    def count(self, name: str, by: int = 1) -> None:
        """Add to a counter."""
        with self._lock:
            self.counters[name] += by

    def stop(self, timeout: float) -> None:
        """Disconnect and wait for the thread."""
        self._stopping.set()
        attempt = self._attempt
        if attempt is not None:
            attempt.close()
        if self.thread.ident is None:
            return
        self.thread.join(timeout)
        if self.thread.is_alive():
            self.log(logging.WARNING, f"the network thread did not end within {timeout:g} s")

    def log(self, level: int, text: str) -> None:
        """Log something about this broker."""
        self._client.logger.log(level, "%s: %s", self._where, text)

    def accepted(self, connection: Link) -> None:
        """Renew the subscriptions and announce the connection."""
        with self._subscribing:
            for topic_filter, qos in self._subscriptions.items():
                connection.subscribe(topic_filter, qos)
            # only now may others publish: an answer to them must find the subscription
            self.connection = connection
        self.count("connects")
        self._said.clear()
        self.log(logging.INFO, f"connected with MQTT {connection.version}")
        if self._client.on_up is not None:
            self._guard(self._client.on_up)

    def received(self, incoming: Incoming) -> None:
        """Pass a message on, unless it is too large."""
        self.count("received")
        if len(incoming.payload) > self._settings.max_payload_bytes:
            self.count("oversize")
            self._log_once(logging.WARNING, f"a message on {incoming.topic!r} is over the limit and was dropped")
            self.acknowledge(incoming)
        elif not self._guard(lambda: self._client.on_message(incoming)):
            # unacknowledged it would take a place in the broker's window for ever
            self.acknowledge(incoming)

    def granted(self) -> None:
        """Count a subscription that the broker has taken."""
        self.count("subscribed")

    def released(self) -> None:
        """Count a subscription that the broker has ended."""
        self.count("unsubscribed")

    def refused(self, what: str) -> None:
        """Count and log what was refused."""
        self.count("refused")
        self._log_once(logging.ERROR, f"refused {what}")

    def acknowledge(self, incoming: Incoming) -> None:
        """Acknowledge a message on the connection that it came with."""
        match incoming.handle:
            case Receipt(link, packet_id) if self._client.manual_ack and incoming.qos:
                if not link.acknowledge(packet_id, incoming.qos):
                    self.count("stale_acknowledgements")

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._attempt = self._new_connection()
            end = self._attempt.run(self._stopping)
            with self._subscribing:
                was_up, self.connection = self.connection is not None, None
            again_at_once = False
            if was_up:
                self._versions.lost()
                self._report_lost(end)
            else:
                again_at_once = self._versions.learn(end.answer)
                if not again_at_once:
                    self._report_failed(end)
            if not again_at_once:
                self._stopping.wait(self._back_off.after(end.lasted_s))

    def _new_connection(self) -> Link:
        version, probe = self._versions.version, self._versions.probing
        make = self._client.link if version == "5" and not probe else paho_link
        return make(
            Terms(
                self._settings,
                self._client.client_id,
                version=version,
                probe=probe,
                will=self._client.will,
                manual_ack=self._client.manual_ack,
                receive_maximum=self._client.receive_maximum,
                listener=self,
            )
        )

    def _report_lost(self, end: End) -> None:
        self.count("disconnects")
        self.count("lost_in_flight", end.lost)
        if not self._stopping.is_set():
            self._log_once(logging.WARNING, f"{end.reason}; trying again in the background")
        on_down = self._client.on_down
        if on_down is not None:
            self._guard(lambda: on_down(end.reason))

    def _report_failed(self, end: End) -> None:
        if end.credentials:
            self.count("refused")
            user = f"user {self._settings.username!r}" if self._settings.username else "no user"
            who = f"client {self._client.client_id!r}, {user}"
            self._log_once(logging.ERROR, f"{end.reason} ({who}); check username and password_file")
        elif not self._stopping.is_set():
            self._log_once(logging.WARNING, f"cannot connect: {end.reason}; trying again in the background")

    def _log_once(self, level: int, text: str) -> None:
        """Log what has not been said since the last connect: one line a change, not a line an attempt."""
        if text not in self._said:
            self._said.add(text)
            self.log(level, text)

    def _guard(self, callback: Callable[[], None]) -> bool:
        try:
            callback()
        except Exception:
            self.count("callback_errors")
            self._client.logger.exception("%s: a callback failed", self._where)
            return False
        return True
