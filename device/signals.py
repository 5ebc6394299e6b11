"""Ending on SIGTERM and SIGINT."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

SIGNALS = (signal.SIGTERM, signal.SIGINT)
EXIT_AT_ONCE = 130


def stop_on_signals(stop: Callable[[], None]) -> None:
    """Call `stop` in a thread of its own at the first signal; the second one ends the process at once.

    A signal handler would run in the middle of whatever the main thread does, and setting an event there can wait for
    ever for a lock that the main thread holds. So the signals are blocked and a thread takes them. Call it before other
    threads are started: they inherit the mask.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)

    def wait() -> None:
        signal.sigwait(SIGNALS)
        stop()
        signal.sigwait(SIGNALS)
        os._exit(EXIT_AT_ONCE)

    threading.Thread(target=wait, name="signals", daemon=True).start()
