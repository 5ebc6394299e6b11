"""Idempotence: a request that comes twice is computed once.

Devices send again until they have an answer, and a broker may deliver a message of QoS 1 more than once, so duplicates
are normal.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

from specnet.wire import Result


class RequestKey(NamedTuple):
    """What makes two requests the same one.

    `boot` and `sequence` identify the spectrum. Bundle, split and the features' checksum are part of the key because a
    device whose storage was replaced counts from the beginning again: its new spectrum must not get an old answer.
    """

    site: str
    device: str
    boot: int
    sequence: int
    bundle: str
    split: int
    crc32: int


class Claim(Enum):
    """What `Answers.claim` found when there is no answer yet."""

    NEW = "the caller has to compute it"
    UNDER_WAY = "it waits or is being computed"


class Waiting(NamedTuple):
    """Requests without an answer: how many, and how long ago the oldest came, in seconds (0 when there is none)."""

    requests: int
    oldest_s: float


class Answers:
    """Results of the last requests, bounded by count and age, and the requests under way.

    All methods may be called from any thread.

    Parameters
    ----------
    limit
        Most results that are remembered; the least recently used one goes first.
    max_age_s
        Results older than this are forgotten, in seconds.
    clock
        Monotonic seconds.
    """

    def __init__(self, limit: int, max_age_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._max_age_s = max_age_s
        self._clock = clock
        self._lock = threading.Lock()
        self._results: OrderedDict[RequestKey, tuple[float, Result]] = OrderedDict()
        # audit samples and the others apart, in order of arrival
        self._under_way: dict[bool, dict[RequestKey, float]] = {False: {}, True: {}}

    def claim(self, key: RequestKey, *, audit: bool = False) -> Result | Claim:
        """Return the known result, or say who computes it; after `Claim.NEW`, call `finish` or `release`."""
        with self._lock:
            known = self._results.get(key)
            if known is not None:
                stored, result = known
                if self._clock() - stored <= self._max_age_s:
                    self._results.move_to_end(key)
                    return result
                del self._results[key]
            if key in self._under_way[False] or key in self._under_way[True]:
                return Claim.UNDER_WAY
            self._under_way[audit][key] = self._clock()
            return Claim.NEW

    def finish(self, key: RequestKey, result: Result) -> None:
        """Remember the result of a claimed request."""
        with self._lock:
            self._settle(key)
            self._results[key] = (self._clock(), result)
            self._results.move_to_end(key)
            while len(self._results) > self._limit:
                self._results.popitem(last=False)

    def release(self, key: RequestKey) -> None:
        """Give a claimed request up: when it comes again it is computed."""
        with self._lock:
            self._settle(key)

    @property
    def under_way(self) -> int:
        """How many claimed requests have no answer yet."""
        with self._lock:
            return len(self._under_way[False]) + len(self._under_way[True])

    def waiting(self, audit: bool) -> Waiting:
        """Describe the claimed requests without an answer: audit samples, or the others."""
        with self._lock:
            moments = self._under_way[audit].values()
            return Waiting(len(moments), self._clock() - next(iter(moments)) if moments else 0.0)

    def wants(self, bundle: str) -> bool:
        """Whether a request for this bundle is claimed and has neither a result nor been given up."""
        with self._lock:
            return any(key.bundle == bundle for claims in self._under_way.values() for key in claims)

    def __len__(self) -> int:
        return len(self._results)

    def _settle(self, key: RequestKey) -> None:
        if self._under_way[False].pop(key, None) is None:
            self._under_way[True].pop(key, None)
