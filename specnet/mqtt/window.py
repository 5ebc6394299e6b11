"""How many messages may be under way to the broker, and how many more may wait for that."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from enum import Enum

MAX_WAITING = 1000
MAX_WAITING_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class Outgoing:
    """A message ready for the wire; the last three are properties of MQTT 5, left out before."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    expiry_s: int | None = None
    response_topic: str | None = None
    correlation: bytes | None = None


class Admission(Enum):
    """What becomes of a message."""

    SEND = "send now"
    WAIT = "sent when another is acknowledged"
    REFUSED = "too much is waiting"


class SendWindow:
    """Bounded flow towards the broker (its Receive Maximum, MQTT 5.0 section 4.9).

    paho's own queue knows no bound in bytes, and none that the broker announces while connecting. The lock is not held
    while paho is called, because paho calls back under locks of its own.
    """

    def __init__(self, size: int) -> None:
        self._changed = threading.Condition()
        self._size = size
        self._under_way = 0
        self._waiting: deque[Outgoing] = deque()
        self._waiting_bytes = 0

    def limit(self, size: int) -> None:
        """Keep to a smaller window that the broker has announced."""
        with self._changed:
            self._size = max(1, min(self._size, size))

    def admit(self, message: Outgoing) -> Admission:
        """Take a place in the window or in the bounded queue behind it."""
        with self._changed:
            if self._under_way < self._size and not self._waiting:
                self._under_way += 1
                return Admission.SEND
            too_many = len(self._waiting) >= MAX_WAITING
            if too_many or self._waiting_bytes + len(message.payload) > MAX_WAITING_BYTES:
                return Admission.REFUSED
            self._waiting.append(message)
            self._waiting_bytes += len(message.payload)
            return Admission.WAIT

    def release(self) -> Outgoing | None:
        """Note that a message is through; the next one, whose place is taken already, is to be sent by the caller."""
        with self._changed:
            if self._waiting:
                message = self._waiting.popleft()
                self._waiting_bytes -= len(message.payload)
                return message
            self._under_way -= 1
            self._changed.notify_all()
            return None

    def outstanding(self) -> int:
        """Count the messages under way and waiting."""
        with self._changed:
            return self._under_way + len(self._waiting)

    def wait_until_empty(self, timeout: float) -> bool:
        """Wait until everything is acknowledged; False when `timeout` seconds were not enough."""
        with self._changed:
            return self._changed.wait_for(lambda: self._under_way == 0 and not self._waiting, timeout)
