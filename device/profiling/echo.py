"""Messages of a device to itself, over the broker and back."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Self

from device.config import DeviceConfiguration
from specnet.errors import BrokerError
from specnet.mqtt import Incoming, MqttSession

CONNECT_TIMEOUT_S = 5.0
STOP_TIMEOUT_S = 1.0
_NONCE_BYTES = 8
_HEAD_BYTES = _NONCE_BYTES + 8
SMALLEST = _HEAD_BYTES
"""Bytes by which a message of ours is known when it comes back."""
_PAUSE_S = 0.005
_FLUSH_S = 0.1


class Echo:
    """A session of this device beside its service, on the device's own ping topic; a context manager.

    It connects with the node's own settings, but under another name: the broker would throw out a service that runs.

    Parameters
    ----------
    configuration
        Names broker, site and device.

    Raises
    ------
    BrokerError
        While entering, when no connection comes about.
    """

    def __init__(self, configuration: DeviceConfiguration) -> None:
        self._topic = configuration.topics.ping
        self._nonce = os.urandom(_NONCE_BYTES)
        self._sent = 0
        self._arrived: dict[int, float] = {}
        self._changed = threading.Condition()
        self._words = _LastWords(f"broker {configuration.broker.host}:{configuration.broker.port}: no answer")
        self._session = MqttSession(
            configuration.broker,
            f"specnet-{configuration.site}-{configuration.device}-ping",
            on_message=self._receive,
            logger=self._words.logger,
        )

    def __enter__(self) -> Self:
        session = self._session
        session.start()
        connected = False
        try:
            _wait(lambda: session.connected or bool(session.counters["refused"]), CONNECT_TIMEOUT_S)
            connected = session.connected
        finally:
            if not connected:
                session.stop(STOP_TIMEOUT_S)
        if not connected:
            raise BrokerError(f"no connection within {CONNECT_TIMEOUT_S:g} s: {self._words.text}")
        return self

    def __exit__(self, *_: object) -> None:
        self._session.stop(STOP_TIMEOUT_S)

    def subscribe(self, timeout_s: float) -> None:
        """Begin to hear what is sent; `BrokerError` when the broker does not grant it."""
        counters = self._session.counters
        self._session.subscribe(self._topic)
        if not _wait(lambda: bool(counters["subscribed"] or counters["refused"]), timeout_s):
            raise BrokerError(f"no answer to the subscription to {self._topic} within {timeout_s:g} s")
        self._check_refused()

    def upload(self, n: int, size: int, timeout_s: float) -> float:
        """Send n messages; seconds until the broker has acknowledged all, `BrokerError` when it does not."""
        began = time.perf_counter()
        losses = self._session.counters["disconnects"]
        acknowledged = False
        for _ in range(n):
            self._send(size, began + (timeout_s if self._session.connected else 0.0))
        while self._session.connected and not acknowledged and time.perf_counter() < began + timeout_s:
            acknowledged = self._session.flush(_FLUSH_S)
        took = time.perf_counter() - began
        self._check_refused()
        # a new connection knows nothing of what was under way on the old one
        if self._session.counters["disconnects"] > losses:
            raise BrokerError(f"the connection was lost: {self._words.text}")
        if not acknowledged:
            raise BrokerError(f"{n} messages of {size} bytes were not acknowledged within {timeout_s:g} s")
        return took

    def round_trips(self, n: int, size: int, timeout_s: float) -> list[float]:
        """Send n messages at once; seconds from the first publish to the arrival of each one that came back in time."""
        began = time.perf_counter()
        numbers = [self._send(size, began + timeout_s) for _ in range(n)]
        with self._changed:
            self._changed.wait_for(
                lambda: all(number in self._arrived for number in numbers),
                max(0.0, began + timeout_s - time.perf_counter()),
            )
            return [self._arrived.pop(number) - began for number in numbers if number in self._arrived]

    def _check_refused(self) -> None:
        if self._session.counters["refused"]:
            # it counts before it says why
            self._session.stop(STOP_TIMEOUT_S)
            raise BrokerError(f"the broker does not let this device use {self._topic}: {self._words.text}")

    def _send(self, size: int, deadline: float) -> int:
        number, self._sent = self._sent, self._sent + 1
        head = self._nonce + number.to_bytes(_HEAD_BYTES - _NONCE_BYTES, "big")
        # random bytes, which no link can compress
        payload = head + os.urandom(size - len(head))
        while not self._session.publish(self._topic, payload):
            if time.perf_counter() > deadline:
                break
            time.sleep(_PAUSE_S)
        return number

    def _receive(self, incoming: Incoming) -> None:
        arrived = time.perf_counter()
        if incoming.payload[:_NONCE_BYTES] != self._nonce:
            return
        with self._changed:
            self._arrived[int.from_bytes(incoming.payload[_NONCE_BYTES:_HEAD_BYTES], "big")] = arrived
            self._changed.notify_all()


class _LastWords(logging.Handler):
    """Keeps what the session says last, which is why it has no connection."""

    def __init__(self, text: str) -> None:
        super().__init__(logging.WARNING)
        self.text = text
        # outside of the tree of loggers: what it says is told once, in the error
        self.logger = logging.Logger("echo")
        self.logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        # nothing is tried again once the error is told
        self.text = record.getMessage().removesuffix("; trying again in the background")


def _wait(condition: Callable[[], bool], timeout_s: float) -> bool:
    deadline = time.perf_counter() + timeout_s
    while not condition():
        if time.perf_counter() > deadline:
            return False
        time.sleep(_PAUSE_S)
    return True
