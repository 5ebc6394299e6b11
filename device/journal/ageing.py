"""How old something is, on a device whose clock may be wrong by years."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

MAX_GAP_S = 86_400.0


@dataclass(frozen=True)
class Clock:
    """Wall clock and monotonic clock, both in seconds; tests give their own."""

    wall: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic


class AgeClock:
    """Seconds that a device has lived: never goes back, whatever the wall clock does.

    Within a boot it follows the monotonic clock. Between two boots it goes on by the difference of the wall clocks, but
    not by less than nothing and not by more than a day: a board without a battery starts in 1970 or at the date of its
    image, and must neither keep for ever what it has nor throw all of it away. A device that was off for longer is one
    day older afterwards.

    Parameters
    ----------
    age, wall
        What an earlier boot had noted last: its age and its wall clock, in seconds; None at the first boot.
    clock
        Where time comes from.
    """

    def __init__(self, age: float, wall: float | None, clock: Clock) -> None:
        self._clock = clock
        gap = 0.0 if wall is None else clock.wall() - wall
        # written so that NaN counts as nothing
        self._base = age + (min(gap, MAX_GAP_S) if gap > 0 else 0.0)
        self._started = clock.monotonic()

    def now(self) -> float:
        """Age of the device in seconds."""
        return self._base + self._clock.monotonic() - self._started
