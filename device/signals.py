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

    A handler in Python runs in the middle of whatever the main thread does, and setting an event there can wait for
    ever for a lock that the main thread holds. So the handler does nothing, and a thread is woken through a pipe.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    for number in SIGNALS:
        signal.signal(number, _ignore)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

    def wait() -> None:
        os.read(reader, 1)
        stop()
        os.read(reader, 1)
        os._exit(EXIT_AT_ONCE)

    threading.Thread(target=wait, name="signals", daemon=True).start()


def _ignore(number: int, frame: object) -> None:
    """Take the signal without an effect: the pipe has it."""
