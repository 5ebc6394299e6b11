"""Publishing one request out of the outbox."""

from __future__ import annotations

import math
import threading

from device.outbox import Outbox
from specnet.mqtt import MqttSession

Key = tuple[int, int]


class RequestSender:
    """Sends requests; the newest are at hand, so that they need not be read from the disk.

    Parameters
    ----------
    outbox
        Has all of them.
    device, response_topic
        Who asks, and where results come.
    expiry_s
        After so many seconds a request has been sent again, and older copies need not wait at the broker.
    most_at_hand
        Bound of what is kept in memory.
    """

    def __init__(self, outbox: Outbox, device: str, response_topic: str, expiry_s: float, most_at_hand: int) -> None:
        self._outbox = outbox
        self._device = device
        self._response_topic = response_topic
        self._expiry_s = math.ceil(expiry_s)
        self._most = most_at_hand
        self._at_hand: dict[Key, tuple[str, bytes]] = {}
        self._lock = threading.Lock()

    def keep(self, key: Key, topic: str, payload: bytes) -> None:
        """Have a request at hand, when there is room; what waits behind the window is read from the disk later."""
        with self._lock:
            if len(self._at_hand) < self._most:
                self._at_hand[key] = (topic, payload)

    def forget(self, key: Key) -> None:
        """Keep it no longer."""
        with self._lock:
            self._at_hand.pop(key, None)

    def send(self, key: Key, session: MqttSession) -> int | None:
        """Publish a request.

        Returns
        -------
        int or None
            Bytes of its payload; 0 when the session takes no more for now, None when it is not pending any more.

        Raises
        ------
        MessageTooLargeError
            When the broker takes nothing so large.
        """
        with self._lock:
            message = self._at_hand.get(key)
        message = message or self._outbox.message(key)
        if message is None:
            return None
        topic, payload = message
        sent = session.publish(
            topic,
            payload,
            expiry_s=self._expiry_s,
            response_topic=self._response_topic,
            correlation=f"{self._device}-{key[0]}-{key[1]}".encode(),
        )
        if not sent:
            return 0
        self.forget(key)
        return len(payload)
