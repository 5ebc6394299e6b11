"""Which request is sent when. No clock and no network inside: both are told."""

from __future__ import annotations

import random
from dataclasses import dataclass

Key = tuple[int, int]


@dataclass(frozen=True)
class _Flight:
    attempts: int
    due: float


class SendSchedule:
    """A window of requests under way, and those that wait behind it, oldest first.

    Parameters
    ----------
    window
        How many may be under way.
    retry_s, retry_max_s
        Pause before the second attempt in seconds, and what it may grow to by doubling.
    generator
        Jitter: each pause is 50 to 100 % of its nominal value, so that devices do not come back in step.
    """

    def __init__(self, window: int, retry_s: float, retry_max_s: float, generator: random.Random) -> None:
        self._window = window
        self._retry_s = retry_s
        self._retry_max_s = retry_max_s
        self._generator = generator
        self._waiting: dict[Key, None] = {}
        self._flights: dict[Key, _Flight] = {}

    def __contains__(self, key: Key) -> bool:
        """Whether a request is waiting or under way."""
        return key in self._waiting or key in self._flights

    def add(self, key: Key) -> None:
        """Queue a request."""
        self._waiting[key] = None

    def remove(self, key: Key) -> None:
        """Forget a request; harmless when it is not known."""
        self._waiting.pop(key, None)
        self._flights.pop(key, None)

    def due(self, now: float) -> list[Key]:
        """List the unanswered requests whose pause is over, then new ones as far as the window has room."""
        again = [key for key, flight in self._flights.items() if flight.due <= now]
        room = self._window - len(self._flights)
        fresh = [key for key, _ in zip(self._waiting, range(room), strict=False)]
        return again + fresh

    def sent(self, key: Key, now: float) -> bool:
        """Note that a request was sent; returns whether it was the first time."""
        self._waiting.pop(key, None)
        first = key not in self._flights
        attempts = 1 if first else 1 + self._flights[key].attempts
        # the exponent is capped because 2.0**1100 overflows after a long weekend without a gateway
        pause = min(self._retry_max_s, self._retry_s * 2.0 ** min(attempts - 1, 32))
        self._flights[key] = _Flight(attempts, now + pause * self._generator.uniform(0.5, 1.0))
        return first

    def attempts(self, key: Key) -> int:
        """How often a request was sent since the connection was renewed."""
        flight = self._flights.get(key)
        return 0 if flight is None else flight.attempts

    @property
    def is_waiting(self) -> bool:
        """Whether something waits behind the window."""
        return bool(self._waiting)

    def connection_renewed(self) -> None:
        """Make everything under way due at once, with short pauses again: the old connection may have lost it."""
        self._flights = {key: _Flight(0, float("-inf")) for key in self._flights}

    def next_time(self) -> float | None:
        """When the next pause is over; None when nothing is under way."""
        return min((flight.due for flight in self._flights.values()), default=None)
