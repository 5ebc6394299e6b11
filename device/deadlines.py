"""When the device's own answer is given out as provisional."""

from __future__ import annotations

import heapq
from collections.abc import Callable

Key = tuple[int, int]

SLACK = 1000


class Deadlines:
    """A heap of moments; what was answered in time is swept out now and then, so that it stays short."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, Key]] = []
        self._sweep_at = SLACK

    def add(self, moment: float, key: Key) -> None:
        """Note when a request is overdue, in monotonic seconds."""
        heapq.heappush(self._heap, (moment, key))

    def pop(self, now: float) -> Key | None:
        """Take the next request whose moment has passed; None when there is none."""
        return heapq.heappop(self._heap)[1] if self._heap and self._heap[0][0] <= now else None

    def next_time(self) -> float | None:
        """Moment of the next one."""
        return self._heap[0][0] if self._heap else None

    def sweep(self, is_pending: Callable[[Key], bool]) -> None:
        """Forget what is not pending any more, when there may be much of it."""
        if len(self._heap) < self._sweep_at:
            return
        self._heap = [entry for entry in self._heap if is_pending(entry[1])]
        heapq.heapify(self._heap)
        self._sweep_at = SLACK + 2 * len(self._heap)
