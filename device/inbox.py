"""Messages that have come and are not handled yet."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable

from specnet.mqtt import Incoming

MAX_INCOMING_BYTES = 16_384
MAX_MESSAGES = 1000


class Inbox:
    """A bounded queue for the uplink's thread, and handlers of topics that are none of its business.

    What does not fit is counted and forgotten: a request stays pending and is sent again, so nothing is lost by this.
    """

    def __init__(self) -> None:
        self._messages: deque[Incoming] = deque()
        self._routes: dict[str, Callable[[Incoming], None]] = {}
        self.counters: Counter[str] = Counter()

    @property
    def routes(self) -> tuple[str, ...]:
        """Topics with a handler of their own."""
        return tuple(self._routes)

    def route(self, topic: str, handler: Callable[[Incoming], None]) -> None:
        """Give messages of a topic to `handler`, in the session's thread."""
        self._routes[topic] = handler

    def passed_on(self, incoming: Incoming) -> bool:
        """Give a message to the handler of its topic; False when there is none."""
        handler = self._routes.get(incoming.topic)
        if handler is None:
            return False
        handler(incoming)
        return True

    def put(self, incoming: Incoming) -> bool:
        """Queue a message; False when there is no room for it."""
        if len(incoming.payload) > MAX_INCOMING_BYTES:
            self.counters["oversize"] += 1
        elif len(self._messages) >= MAX_MESSAGES:
            self.counters["inbox_full"] += 1
        else:
            self._messages.append(incoming)
            return True
        return False

    def take(self) -> list[Incoming]:
        """Take all messages out."""
        taken = list(self._messages)
        self._messages.clear()
        return taken
