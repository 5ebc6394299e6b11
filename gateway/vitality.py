"""Whether the gateway works, told to the service manager: ready, how it goes, signs of life."""

from __future__ import annotations

import time
from collections.abc import Callable

from specnet.systemd import Notifier, Watchdog

PATIENCE_S = 30.0
"""Longer than any batch takes: without a result for so long, although requests are there, the worker hangs."""
EXTENSION_S = 60.0
SERVING = "serving"


class Vitality:
    """Watches whether requests are answered while there are any; a thread that only pinged would hide one that hangs.

    Parameters
    ----------
    notifier
        Tells the service manager.
    problems
        Why requests cannot be served now. Ready is said once there are none: connected, subscribed, a bundle in
        service.
    alive
        Whether the worker's thread lives.
    under_way
        How many requests have no answer yet.
    replies
        How many results the worker has handed on so far.
    clock
        Monotonic seconds.
    """

    def __init__(
        self,
        notifier: Notifier,
        *,
        problems: Callable[[], list[str]],
        alive: Callable[[], bool],
        under_way: Callable[[], int],
        replies: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.patience_s = PATIENCE_S
        """How long a worker may take for one result, in seconds."""
        self._notifier = notifier
        self._watchdog = Watchdog(notifier, clock=clock)
        self._problems = problems
        self._alive = alive
        self._under_way = under_way
        self._replies = replies
        self._replies_before = -1
        self._status = ""
        self._ready = False
        self._stopping = False

    @property
    def interval_s(self) -> float:
        """How often systemd wants a sign of life, in seconds; 0 when it wants none."""
        return self._watchdog.interval_s

    def look(self) -> bool:
        """Look at the worker and tell what has changed; called often.

        Returns
        -------
        bool
            Whether the worker lives and gets on; without that there is no sign of life.
        """
        replies = self._replies()
        if self._alive() and (replies != self._replies_before or not self._under_way()):
            self._watchdog.back_within(self.patience_s)
        self._replies_before = replies
        gets_on = self._watchdog.tend()
        if not self._stopping:
            self._tell(gets_on)
        return gets_on

    def stopping(self, within_s: float) -> None:
        """Tell that the service ends, within so many seconds."""
        self._stopping = True
        self._notifier.stopping(within_s)

    def _tell(self, gets_on: bool) -> None:
        problems = self._problems()
        status = "; ".join(problems) or SERVING
        if not self._ready and not problems:
            self._ready = True
            self._notifier.ready(status)
        elif not self._ready and gets_on:
            # a broker that is not there yet is waited for, however long, but not by a process that hangs
            self._notifier.starting(f"waiting: {status}", EXTENSION_S)
        elif status != self._status:
            self._notifier.status(status)
        self._status = status
