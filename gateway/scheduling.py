"""Which requests wait, and which of them are computed next.

Legend: K stages; a request that a device has split at s enters at segment s + 1.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from heapq import heapify, heappop, heappush
from itertools import count

from gateway.work import Rank, Task, Work

Group = tuple[str, int]
"""Bundle and segment: requests of one group can share a batch, wherever their devices have split."""
Entry = tuple[Rank, Task]
"""Ranks end in a number that no other has, so tasks are never compared."""
KEPT = 4
"""What is gone is cleared out of a table that has grown to so many times what it is for."""


class Refusal(Enum):
    """Why a request was shed. Nobody answers it: the device, which waits for a result, sends it again later."""

    EXPIRED = "expired"
    AUDIT = "audit"
    FULL = "full"
    CLOSED = "closed"


@dataclass(frozen=True)
class Admission:
    """What `Scheduler.put` did: why something was shed, and what; `victim` is None when it was the new request."""

    shed: Refusal | None = None
    victim: Work | None = None

    @property
    def refused(self) -> bool:
        """Whether the new request was not taken."""
        return self.shed is not None and self.victim is None


class _Queue:
    """Tasks of one group in three classes: in time, late, audit samples. Those that wait no more are passed over."""

    def __init__(self) -> None:
        self.in_time: list[Entry] = []
        self.late: list[Entry] = []
        self.audits: list[Entry] = []
        self.size = 0

    def add(self, task: Task) -> None:
        """Put a task into its class; whether it is late is seen when its turn comes."""
        heappush(self.audits if task.work.request.audit else self.in_time, (task.rank, task))
        self.size += 1

    def first(self, now: float) -> tuple[int, Task] | None:
        """Class and task of the first; None when nothing waits."""
        while self.in_time:
            entry = self.in_time[0]
            task = entry[1]
            if task.waits and task.work.deadline >= now:
                return 0, task
            heappop(self.in_time)
            if task.waits:
                heappush(self.late, entry)
        for number, heap in ((1, self.late), (2, self.audits)):
            while heap:
                if heap[0][1].waits:
                    return number, heap[0][1]
                heappop(heap)
        return None

    def pop(self, now: float) -> Task | None:
        """Take the first out."""
        found = self.first(now)
        if found is None:
            return None
        self.size -= 1
        return heappop((self.in_time, self.late, self.audits)[found[0]])[1]


def _group_of(task: Task) -> Group:
    return task.work.model.bundle_id, task.segment


class Scheduler:
    """Requests between arrival and answer, at most `limit` of them waiting; batches are taken and come back.

    A batch has requests of one bundle and one segment. What stays after a segment comes back by `resume`, and shares
    its next batch with requests that enter there.

    Order: requests in time before those whose deadline has passed (their devices have made do, and wait no more), and
    these before audit samples (for which nobody waits). Within a class devices take turns (start-time fair queueing,
    Goyal et al. 1997, with requests of equal cost): the second request of a device waits until every other one has had
    its first. Within a turn the earliest deadline goes first, then the earliest arrival.

    When it is full, requests whose deadline has passed are shed first, the earliest deadline before the others; then
    audit samples, the newest first; then the newest request is refused, because older ones have waited longer and their
    devices will give up sooner.

    Any thread may `put`; one thread takes and resumes.

    Parameters
    ----------
    limit
        Most requests that wait. Those that `resume` brings back are counted, but never refused.
    clock
        Monotonic seconds, the clock of `Work.arrived` and `Work.deadline`.
    """

    def __init__(self, limit: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._changed = threading.Condition()
        self._groups: dict[Group, _Queue] = {}
        self._waiting: dict[int, Task] = {}
        self._audits = 0
        self._number = count()
        self._turn = 0.0
        self._next_turns: dict[tuple[str, str], float] = {}
        self._deadlines: list[tuple[float, int, Task]] = []
        self._newest_audits: list[Task] = []
        self._closed = False

    def __len__(self) -> int:
        return len(self._waiting)

    def waiting(self, *, audit: bool) -> int:
        """Count the audit samples that wait, or the requests that do."""
        return self._audits if audit else len(self._waiting) - self._audits

    def oldest_s(self, *, audit: bool) -> float:
        """How long the oldest of these has been here, in seconds; 0 when none waits."""
        with self._changed:
            arrivals = [task.work.arrived for task in self._waiting.values() if task.work.request.audit == audit]
        return max(0.0, self._clock() - min(arrivals)) if arrivals else 0.0

    def put(self, work: Work) -> Admission:
        """Add a request, or say why not; never waits."""
        with self._changed:
            if self._closed:
                return Admission(Refusal.CLOSED)
            admission = self._make_room(work) if len(self._waiting) >= self._limit else Admission()
            if admission.refused:
                return admission
            task = Task.of(work)
            task.rank = self._rank(work)
            if work.request.audit:
                self._newest_audits.append(task)
            if work.deadline < math.inf:
                heappush(self._deadlines, (work.deadline, task.rank[2], task))
            self._add(task)
            self._clear_out()
            self._changed.notify()
            return admission

    def take(self, max_batch: int, linger_s: float = 0.0) -> list[Task]:
        """Wait for requests, and take those of the group that has the first of all.

        Parameters
        ----------
        max_batch
            Most requests to take.
        linger_s
            How long, counted from the arrival of the first, to wait for a batch to fill up; 0 takes what is there.

        Returns
        -------
        list of Task
            In order, all for the same segment; empty only when the scheduler is closed and nothing is left.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            first = self._first()
            if first is not None and not first.begun and linger_s > 0:
                queue, full_at = self._groups[_group_of(first)], first.work.arrived + linger_s
                self._changed.wait_for(
                    lambda: self._closed or queue.size >= max_batch, max(0.0, full_at - self._clock())
                )
                # what has come meanwhile may be more urgent, or have shed what was there
                first = self._first()
            return [] if first is None else self._take_from(_group_of(first), max_batch)

    def resume(self, tasks: Iterable[Task]) -> None:
        """Take back requests that go on with another segment; they keep their places, before all that came later."""
        with self._changed:
            for task in tasks:
                self._add(task)

    def close(self) -> None:
        """Take no more requests; those that wait can still be taken, and come back."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def discard(self) -> list[Work]:
        """Close, and give back everything that still waits, in order of arrival."""
        with self._changed:
            self._closed = True
            left = sorted((task.work for task in self._waiting.values()), key=lambda work: work.arrived)
            for task in list(self._waiting.values()):
                self._remove(task)
            self._groups.clear()
            self._changed.notify_all()
            return left

    # ------------------------------------------------------------------ with the lock held

    def _rank(self, work: Work) -> Rank:
        device = work.key.site, work.key.device
        turn = max(self._turn, self._next_turns.get(device, 0.0))
        self._next_turns[device] = turn + 1.0
        if len(self._next_turns) > KEPT * self._limit:
            # a new era: everybody begins again, behind all that waits
            self._turn = max(self._next_turns.values())
            self._next_turns.clear()
        return turn, work.deadline, next(self._number)

    def _add(self, task: Task) -> None:
        task.waits = True
        self._waiting[task.rank[2]] = task
        self._audits += task.work.request.audit
        self._groups.setdefault(_group_of(task), _Queue()).add(task)

    def _remove(self, task: Task) -> None:
        task.waits = False
        del self._waiting[task.rank[2]]
        self._audits -= task.work.request.audit

    def _first(self) -> Task | None:
        now = self._clock()
        firsts = [first for queue in self._groups.values() if (first := queue.first(now)) is not None]
        return min(firsts, key=lambda first: (first[0], first[1].rank))[1] if firsts else None

    def _take_from(self, group: Group, max_batch: int) -> list[Task]:
        queue, now = self._groups[group], self._clock()
        batch: list[Task] = []
        while len(batch) < max_batch and (task := queue.pop(now)) is not None:
            self._remove(task)
            self._turn = max(self._turn, task.rank[0])
            batch.append(task)
        self._forget_if_empty(group)
        return batch

    def _make_room(self, work: Work) -> Admission:
        """Shed what is the least worth, or refuse the new request; what has been begun is kept."""
        now = self._clock()
        while self._deadlines and self._deadlines[0][0] < now:
            task = heappop(self._deadlines)[2]
            if task.waits and not task.begun:
                return self._shed(task, Refusal.EXPIRED)
        if work.request.audit:
            return Admission(Refusal.AUDIT)
        while self._newest_audits:
            task = self._newest_audits.pop()
            if task.waits and not task.begun:
                return self._shed(task, Refusal.AUDIT)
        return Admission(Refusal.FULL)

    def _shed(self, task: Task, why: Refusal) -> Admission:
        self._remove(task)
        group = _group_of(task)
        self._groups[group].size -= 1
        self._forget_if_empty(group)
        return Admission(why, task.work)

    def _forget_if_empty(self, group: Group) -> None:
        if not self._groups[group].size:
            del self._groups[group]

    def _clear_out(self) -> None:
        """Forget what has been taken: it is still in the tables that only shedding looks at."""
        if len(self._deadlines) > KEPT * self._limit:
            self._deadlines = [entry for entry in self._deadlines if entry[2].waits]
            heapify(self._deadlines)
        if len(self._newest_audits) > KEPT * self._limit:
            self._newest_audits = [task for task in self._newest_audits if task.waits]
