"""When memory does not suffice: how to know, and the largest batch that fits, learned from those that did not."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

FIRST_PAUSE_S = 60.0
LONGEST_PAUSE_S = 3600.0

_SIGNS = ("bad_alloc", "failed to allocate memory", "can't allocate memory", "out of memory")
"""How ONNX Runtime and torch say it on a CPU, where they have no type of their own for it."""


def means_no_memory(error: BaseException | None) -> bool:
    """Whether an engine has failed for want of memory, or while it handled such a failure."""
    while error is not None:
        if isinstance(error, MemoryError) or any(sign in str(error).lower() for sign in _SIGNS):
            return True
        error = error.__context__
    return False


@dataclass
class _Limit:
    largest: int
    failed_size: int
    changed: float
    pause_s: float


class BatchLimits:
    """Remembers the batches that were too large, for each group of requests that share batches.

    After a failure the largest batch of the group is half of what failed. Memory may be free again later, so after a
    pause the limit doubles, and again after each further one; when what failed has been allowed for a whole pause, the
    limit is lifted. What fails again waits twice as long: what never fits is tried ever more seldom. One thread uses
    it.

    Parameters
    ----------
    pause_s, longest_pause_s
        Between a failure and the next attempt with a larger batch, in seconds: at first, and at most.
    clock
        Monotonic seconds.
    """

    def __init__(
        self,
        pause_s: float = FIRST_PAUSE_S,
        longest_pause_s: float = LONGEST_PAUSE_S,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pause_s = pause_s
        self._longest_pause_s = longest_pause_s
        self._clock = clock
        self._limits: dict[Hashable, _Limit] = {}

    def allowed(self, group: Hashable, size: int) -> int:
        """Return how many of a batch of this size may be tried at once."""
        limit = self._limits.get(group)
        if limit is None:
            return size
        now = self._clock()
        if now - limit.changed >= limit.pause_s:
            if limit.largest >= limit.failed_size:
                del self._limits[group]
                return size
            limit.largest, limit.changed = 2 * limit.largest, now
        return min(size, limit.largest)

    def failed(self, group: Hashable, size: int) -> None:
        """Note that there was no memory for a batch of this size."""
        before = self._limits.get(group)
        pause_s = self._pause_s if before is None else before.pause_s
        if before is not None and before.largest >= before.failed_size:
            pause_s = min(2 * pause_s, self._longest_pause_s)
        self._limits[group] = _Limit(max(1, size // 2), size, self._clock(), pause_s)
