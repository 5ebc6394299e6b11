"""Acquiring while classifying: a thread reads, a short queue holds what is not judged yet."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import msgspec
from numpy.typing import NDArray

from device.spectrometers.quality import Quality
from device.spectrometers.reading import Reading
from specnet.errors import ConfigurationError
from specnet.ranges import check_range

MAX_QUEUE = 1000


class AcquisitionSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table ``[acquisition]``.

    Parameters
    ----------
    queue
        Spectra that may be read ahead of classification.
    when_full
        ``"wait"``: the next spectrum is taken when there is room. ``"drop"``: spectra are taken without a pause, and
        the oldest one that is not judged yet is dropped and counted.
    """

    queue: int = 4
    when_full: Literal["wait", "drop"] = "wait"

    def __post_init__(self) -> None:
        check_range("acquisition.queue", self.queue, 1, MAX_QUEUE)
        if self.when_full not in ("wait", "drop"):
            raise ConfigurationError(f'acquisition.when_full is "wait" or "drop", got {self.when_full!r}')


class Accepted(NamedTuple):
    """A spectrum with its number: counts ``(n_points,)``, what is known against it, monotonic time in seconds."""

    sequence: int
    counts: NDArray[Any]
    quality: Quality
    acquired: float

    @property
    def flags(self) -> tuple[str, ...]:
        """Names of what is known against it, as records have them."""
        return tuple(self.quality.names)


class ReadAhead:
    """Reads spectra in a thread of its own, so that neither side waits for the other longer than it must.

    Iterating gives the spectra in order and ends when there are no more: at the end of a replay, after as many as were
    asked for, or when the acquisition is stopped. What was accepted until then is still given out.

    Parameters
    ----------
    read
        Reads one spectrum; None at the end.
    record
        Called in the thread with each spectrum as it is accepted, before anybody else sees it.
    dropped
        Called in the thread with each spectrum that had to make room.
    settings
        Bounds of the queue.
    """

    def __init__(
        self,
        read: Callable[[], Reading | None],
        record: Callable[[Accepted], None],
        dropped: Callable[[Accepted], None],
        settings: AcquisitionSettings,
    ) -> None:
        self._read = read
        self._record = record
        self._dropped = dropped
        self._settings = settings
        self._queue: deque[Accepted] = deque()
        self._changed = threading.Condition()
        self._ended = self._stopping = False
        self._error: BaseException | None = None
        self._limit = 0
        self._counters: Counter[str] = Counter()
        self._thread = threading.Thread(target=self._work, name="acquisition", daemon=True)

    @property
    def counters(self) -> Mapping[str, int]:
        """Spectra accepted, and dropped because the queue was full."""
        with self._changed:
            return MappingProxyType(dict(self._counters))

    @property
    def is_full(self) -> bool:
        """Whether as many spectra wait as may: whoever judges them is behind, or hangs."""
        with self._changed:
            return len(self._queue) >= self._settings.queue

    def start(self, limit: int = 0) -> None:
        """Begin to read; exactly `limit` spectra are given out, however many are dropped (0: no limit)."""
        self._limit = limit
        self._thread.start()

    def stop(self) -> None:
        """Read no more, and wait for the reading that is under way."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join()

    def __iter__(self) -> Iterator[Accepted]:
        """Give out spectra as they come.

        Raises
        ------
        Exception
            What the thread has died of.
        """
        while (accepted := self._next()) is not None:
            yield accepted

    def _next(self) -> Accepted | None:
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._ended)
            if self._queue:
                self._changed.notify_all()
                return self._queue.popleft()
            if self._error is not None:
                raise self._error
            return None

    def _work(self) -> None:
        try:
            while self._wants_more():
                reading = self._read()
                if reading is None:
                    break
                self._accept(reading, time.monotonic())
        except BaseException as error:
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _wants_more(self) -> bool:
        with self._changed:
            if self._settings.when_full == "wait":
                self._changed.wait_for(lambda: self._stopping or len(self._queue) < self._settings.queue)
            given = self._counters["accepted"] - self._counters["dropped_unread"]
            return not self._stopping and (self._limit == 0 or given < self._limit)

    def _accept(self, reading: Reading, acquired: float) -> None:
        accepted = Accepted(self._counters["accepted"], reading.counts, reading.flags, acquired)
        self._record(accepted)
        oldest = None
        with self._changed:
            self._counters["accepted"] += 1
            if len(self._queue) >= self._settings.queue:
                oldest = self._queue.popleft()
                self._counters["dropped_unread"] += 1
            self._queue.append(accepted)
            self._changed.notify_all()
        if oldest is not None:
            self._dropped(oldest)
