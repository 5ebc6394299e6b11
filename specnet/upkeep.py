"""What has to be done from time to time, whatever the main loop waits for."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

logger = logging.getLogger(__name__)

PERIOD_S = 0.5
LEAST_PERIOD_S = 0.01


class Upkeep:
    """A thread that calls its chores over and over; what they raise is logged and stops nothing.

    Parameters
    ----------
    chores
        Called in this order; none waits long.
    period_s
        Pause between two rounds, in seconds.
    """

    def __init__(self, chores: Sequence[Callable[[], object]], period_s: float = PERIOD_S) -> None:
        self._chores = tuple(chores)
        self._period_s = max(LEAST_PERIOD_S, period_s)
        self._ended = threading.Event()
        self._failing: set[int] = set()
        self._thread = threading.Thread(target=self._work, name="upkeep", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, after one last round."""
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join(2.0)

    def _work(self) -> None:
        while True:
            ended = self._ended.wait(self._period_s)
            for number, chore in enumerate(self._chores):
                self._do(number, chore)
            if ended:
                return

    def _do(self, number: int, chore: Callable[[], object]) -> None:
        try:
            chore()
        except Exception:
            if number not in self._failing:  # once, not twice a second
                logger.exception("upkeep: unexpected error")
            self._failing.add(number)
        else:
            self._failing.discard(number)
