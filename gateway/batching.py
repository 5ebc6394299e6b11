"""The bounded queue of decoded requests, from which batches of the same kind are taken."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from gateway.answers import RequestKey
from gateway.models import ServedModel
from specnet.mqtt import Incoming
from specnet.wire import Provisional

Float32 = NDArray[np.float32]
Group = tuple[str, int]


@dataclass(frozen=True, eq=False)
class Work:
    """A request that passed every check.

    Features are ``(P, channels)``, the state of the exit policy ``(S,)``. `arrived` is in monotonic seconds.
    `incoming` is the message to acknowledge, `topic` and `correlation` say where the answer goes. For the records:
    `provisional` is the device's own answer, `raw` the packed raw spectrum where the request carried one.
    """

    key: RequestKey
    request_id: str
    model: ServedModel
    split: int
    features: Float32
    state: Float32
    audit: bool
    arrived: float
    incoming: Incoming
    topic: str
    correlation: bytes | None
    provisional: Provisional | None = None
    raw: bytes = b""

    @property
    def group(self) -> Group:
        """Requests of one group can share a batch."""
        return self.model.bundle_id, self.split


class Refusal(Enum):
    """Why a request was shed. Nobody answers it: the device, which waits for a result, sends it again later."""

    FULL = "full"
    AUDIT = "audit"
    CLOSED = "closed"


@dataclass(frozen=True)
class Admission:
    """What `RequestQueue.put` did: `refusal` when the request was not taken, `victim` the request that made room."""

    refusal: Refusal | None = None
    victim: Work | None = None


class RequestQueue:
    """Requests in order of arrival, at most `limit`.

    When it is full, audit samples (for which no device waits) are shed first, the newest one first; then the newest
    request is refused, because older ones have waited longer and their devices will give up sooner.

    Parameters
    ----------
    limit
        Most requests that wait.
    clock
        Monotonic seconds, the clock of `Work.arrived`.
    """

    def __init__(self, limit: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._changed = threading.Condition()
        self._groups: dict[Group, deque[Work]] = {}
        self._size = 0
        self._audits = 0
        self._closed = False

    def __len__(self) -> int:
        return self._size

    def put(self, work: Work) -> Admission:
        """Add a request, or say why not; never waits."""
        with self._changed:
            if self._closed:
                return Admission(Refusal.CLOSED)
            victim = None
            if self._size >= self._limit:
                if work.audit:
                    return Admission(Refusal.AUDIT)
                if not self._audits:
                    return Admission(Refusal.FULL)
                victim = self._remove_newest_audit()
            self._groups.setdefault(work.group, deque()).append(work)
            self._count(work, +1)
            self._changed.notify_all()
            return Admission(victim=victim)

    def take(self, max_batch: int, linger_s: float = 0.0) -> list[Work]:
        """Wait for requests and take those of the group whose oldest has waited longest.

        Parameters
        ----------
        max_batch
            Most requests to take.
        linger_s
            How long, counted from the arrival of the oldest, to wait for a batch to fill up; 0 takes what is there.

        Returns
        -------
        list of Work
            Oldest first; empty only when the queue is closed and nothing is left.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._size or self._closed)
            if not self._size:
                return []
            group = min(self._groups, key=lambda name: self._groups[name][0].arrived)
            if linger_s > 0:
                remaining = self._groups[group][0].arrived + linger_s - self._clock()
                self._changed.wait_for(
                    lambda: self._closed or len(self._groups.get(group, ())) >= max_batch, max(0.0, remaining)
                )
            waiting = self._groups.get(group, deque())
            batch = [waiting.popleft() for _ in range(min(max_batch, len(waiting)))]
            self._forget_if_empty(group)
            for work in batch:
                self._count(work, -1)
            return batch

    def close(self) -> None:
        """Take no more requests; those that wait can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def discard(self) -> list[Work]:
        """Close, and give back everything that still waits."""
        with self._changed:
            self._closed = True
            left = sorted((work for waiting in self._groups.values() for work in waiting), key=lambda w: w.arrived)
            self._groups.clear()
            self._size = self._audits = 0
            self._changed.notify_all()
            return left

    def _remove_newest_audit(self) -> Work:
        audits = (work for waiting in self._groups.values() for work in waiting if work.audit)
        newest = max(audits, key=lambda work: work.arrived)
        self._groups[newest.group].remove(newest)
        self._forget_if_empty(newest.group)
        self._count(newest, -1)
        return newest

    def _forget_if_empty(self, group: Group) -> None:
        if not self._groups.get(group, True):
            del self._groups[group]

    def _count(self, work: Work, by: int) -> None:
        self._size += by
        self._audits += by if work.audit else 0
