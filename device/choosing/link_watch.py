"""What the requests of a node say of its link. No clock inside: times are told, in monotonic seconds."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass

from device.choosing.measurements import FEW, Measurements, quantile

Key = tuple[int, int]

MOST_SAMPLES = 64
"""Trips, spectra and outbox lengths that are remembered of each window; a change must not wait for old ones to go."""
MOST_UNDER_WAY = 2048


@dataclass(frozen=True)
class _Sent:
    since: float
    n_bytes: int
    audit: bool


@dataclass(frozen=True)
class _Trip:
    came: float
    seconds: float
    n_bytes: int
    late: bool


class LinkWatch:
    """Notes what is sent and what comes back; called from several threads.

    A round trip counts from the first time that a request was sent on the connection in use: an attempt that was sent
    again cannot be told from the first by its result (Karn and Partridge, 1987), and the first is what somebody waits
    for. After a reconnect everything under way is sent again and counts from there, because the outage says nothing
    of the link that is back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: OrderedDict[Key, _Sent] = OrderedDict()
        self._overdue: set[Key] = set()
        self._trips: deque[_Trip] = deque(maxlen=MOST_SAMPLES)
        self._outbox: deque[tuple[float, int]] = deque(maxlen=MOST_SAMPLES)
        self._spectra: deque[float] = deque(maxlen=MOST_SAMPLES)
        self._last_result: float | None = None
        self._away_since: float | None = None
        self.sent_messages = 0
        self.sent_bytes = 0

    def sent(self, key: Key | None, n_bytes: int, now: float, *, audit: bool = False) -> None:
        """Note that a message has gone out; without a key nobody answers it."""
        with self._lock:
            self.sent_messages += 1
            self.sent_bytes += n_bytes
            if key is not None and key not in self._under_way:
                self._under_way[key] = _Sent(now, n_bytes, audit)
                while len(self._under_way) > MOST_UNDER_WAY:
                    self._overdue.discard(self._under_way.popitem(last=False)[0])

    def answered(self, key: Key, now: float) -> None:
        """Note that a result has come."""
        with self._lock:
            self._last_result = now
            sent = self._under_way.pop(key, None)
            if sent is None:
                return
            late = key in self._overdue
            self._overdue.discard(key)
            self._trips.append(_Trip(now, max(0.0, now - sent.since), sent.n_bytes, late))
            # nobody sends an audit sample again: one from before this request was lost
            lost = [other for other, one in self._under_way.items() if one.audit and one.since < sent.since]
            for other in lost:
                self._forget(other)

    def overdue(self, key: Key) -> None:
        """Note that the deadline of a request has passed."""
        with self._lock:
            if key in self._under_way:
                self._overdue.add(key)

    def forgotten(self, key: Key) -> None:
        """Note that a request was given up."""
        with self._lock:
            self._forget(key)

    def renewed(self) -> None:
        """Note a new connection: what was under way is sent again, audit samples are lost."""
        with self._lock:
            self._under_way.clear()
            self._overdue.clear()

    def spectrum(self, now: float) -> None:
        """Note that a spectrum is judged."""
        with self._lock:
            self._spectra.append(now)

    def start_anew(self) -> None:
        """Forget the trips: the point has changed, and it is to be judged by its own."""
        with self._lock:
            self._trips.clear()
            self._outbox.clear()

    @property
    def waits_for_something(self) -> bool:
        """Whether a request is under way."""
        with self._lock:
            return bool(self._under_way)

    @property
    def last_trip(self) -> float:
        """When the last trip of the window ended; minus infinity without one."""
        with self._lock:
            return self._trips[-1].came if self._trips else float("-inf")

    def measure(
        self, now: float, window_s: float, outbox: int, connected: bool, expected_ms: Callable[[float], float]
    ) -> Measurements:
        """Summarise the last `window_s` seconds.

        Parameters
        ----------
        now, window_s
            Seconds.
        outbox
            Requests in the outbox now.
        connected
            Whether the broker is there.
        expected_ms
            Milliseconds that a request of so many bytes takes on the link that the node was tuned for.
        """
        with self._lock:
            self._outbox.append((now, outbox))
            self._away_since = None if connected else (self._away_since if self._away_since is not None else now)
            away_s = 0.0 if self._away_since is None else now - self._away_since
            since = now - window_s
            trips = [trip for trip in self._trips if trip.came >= since]
            lengths = [item for item in self._outbox if item[0] >= since]
            spectra = [moment for moment in self._spectra if moment >= since]
            oldest = sorted(self._under_way.values(), key=lambda sent: sent.since)[:FEW]
            late = sum(trip.late for trip in trips) + len(self._overdue)
            last = self._last_result
        milliseconds = [1e3 * trip.seconds for trip in trips]
        strains = [1e3 * trip.seconds / max(1e-6, expected_ms(trip.n_bytes)) for trip in trips]
        ages_ms = [max(0.0, 1e3 * (now - sent.since)) for sent in oldest]
        settled = len(trips) + len(self._overdue)
        return Measurements(
            away_s=away_s,
            trips=len(trips),
            trip_p50_ms=quantile(milliseconds, 0.5),
            trip_p95_ms=quantile(milliseconds, 0.95),
            strain=quantile(strains, 0.95),
            waiting_ms=ages_ms[0] if ages_ms else 0.0,
            waiting_strain=ages_ms[-1] / max(1e-6, expected_ms(oldest[-1].n_bytes)) if len(oldest) == FEW else 0.0,
            overdue_share=late / settled if settled else 0.0,
            delivered_bytes_s=_rate([trip.came for trip in trips], [trip.n_bytes for trip in trips]),
            spectra_s=_rate(spectra, [1] * len(spectra)),
            outbox=outbox,
            outbox_growth_s=_slope(lengths),
            since_result_s=None if last is None else now - last,
        )

    def _forget(self, key: Key) -> None:
        self._under_way.pop(key, None)
        self._overdue.discard(key)


def _rate(moments: list[float], amounts: list[int]) -> float:
    """Amount a second between the first and the last moment; 0 where there are fewer than two."""
    span = moments[-1] - moments[0] if len(moments) > 1 else 0.0
    return sum(amounts[1:]) / span if span > 0 else 0.0


def _slope(lengths: list[tuple[float, int]]) -> float:
    if len(lengths) < 2 or lengths[-1][0] <= lengths[0][0]:
        return 0.0
    return (lengths[-1][1] - lengths[0][1]) / (lengths[-1][0] - lengths[0][0])
