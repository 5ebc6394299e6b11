"""Messages that may be lost."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

MAX_MESSAGES = 1000


class Message(NamedTuple):
    """Topic and payload."""

    topic: str
    payload: bytes


class BestEffort:
    """A bounded queue in memory: beyond the bound the oldest message goes."""

    def __init__(self) -> None:
        self._messages: deque[Message] = deque()
        self._lock = threading.Lock()
        self.dropped = 0
        """Messages that went because of the bound."""

    def __len__(self) -> int:
        return len(self._messages)

    def add(self, message: Message) -> None:
        """Queue a message."""
        with self._lock:
            if len(self._messages) >= MAX_MESSAGES:
                self._messages.popleft()
                self.dropped += 1
            self._messages.append(message)

    def send(self, publish: Callable[[str, bytes], bool], connected: Callable[[], bool]) -> bool:
        """Publish what there is while there is a connection; False when `publish` takes no more for now."""
        while connected():
            with self._lock:
                if not self._messages:
                    return True
                message = self._messages.popleft()
            if not publish(*message):
                with self._lock:
                    self._messages.appendleft(message)
                return False
        return True
