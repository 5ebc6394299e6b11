"""Telling systemd how it goes: READY, STATUS, STOPPING and the watchdog (sd_notify(3)), without its library."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping

logger = logging.getLogger(__name__)

MAX_ADDRESS_BYTES = 108
MAX_STATUS = 200


class Notifier:
    """Sends states to the service manager; does nothing where there is none.

    Parameters
    ----------
    environment
        ``NOTIFY_SOCKET`` is a path or, with ``@`` in front, a name in the abstract namespace; ``WATCHDOG_USEC`` the
        time without a sign of life after which systemd kills the service, ``WATCHDOG_PID`` whom that concerns.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))
        self._complained = False
        self.watchdog_s = _watchdog_s(environment) if self._address else 0.0

    def starting(self, status: str, within_s: float) -> None:
        """Say that it still starts, and that it says so again, or that it works, within so many seconds."""
        self._send(_extension(within_s), status)

    def ready(self, status: str = "") -> None:
        """Say that the service works."""
        self._send("READY=1", status)

    def status(self, status: str) -> None:
        """Say in a line for people what it does."""
        self._send("", status)

    def stopping(self, within_s: float = 0.0) -> None:
        """Say that it ends, and within how many seconds when it may take longer than usual."""
        self._send(f"STOPPING=1\n{_extension(within_s)}" if within_s else "STOPPING=1", "")

    def ping(self) -> None:
        """Give the watchdog a sign of life."""
        self._send("WATCHDOG=1", "")

    def _send(self, state: str, status: str) -> None:
        if not self._address:
            return
        # a line end would begin another assignment
        line = "STATUS=" + " ".join(status.split())[:MAX_STATUS] if status else ""
        message = "\n".join(part for part in (state, line) if part)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.setblocking(False)
                sender.sendto(message.encode(), self._address)
        except OSError as error:
            if not self._complained:
                logger.warning("the service manager cannot be told %r: %s", message, error)
            self._complained = True


class Watchdog:
    """Pings while the main loop keeps its word: it says each time when it will be back.

    A thread that pinged on its own would keep a service alive that hangs; a main loop that pinged itself could not
    wait for a long exposure.

    Parameters
    ----------
    notifier
        Takes the pings.
    clock
        Monotonic seconds.
    """

    def __init__(self, notifier: Notifier, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._notifier = notifier
        self._clock = clock
        self._lock = threading.Lock()
        self._back_by = 0.0
        self._ping_at = 0.0

    @property
    def interval_s(self) -> float:
        """Pause between two pings, in seconds: half of what systemd waits; 0 without a watchdog."""
        return self._notifier.watchdog_s / 2

    def back_within(self, seconds: float) -> None:
        """Promise, in the main loop, to be here again within so many seconds."""
        with self._lock:
            self._back_by = self._clock() + seconds

    def tend(self) -> bool:
        """Ping if it is time to and the last promise still holds; called often, from another thread.

        Returns
        -------
        bool
            False when the promise is broken.
        """
        now = self._clock()
        with self._lock:
            kept = now <= self._back_by
        if kept and self.interval_s and now >= self._ping_at:
            self._ping_at = now + self.interval_s
            self._notifier.ping()
        return kept


def _extension(seconds: float) -> str:
    return f"EXTEND_TIMEOUT_USEC={round(1e6 * seconds)}"


def _address(text: str) -> str:
    if not text:
        return ""
    if text[0] not in "/@" or len(text) < 2 or len(text.encode()) >= MAX_ADDRESS_BYTES:
        logger.warning("NOTIFY_SOCKET is no address of a local socket: %r", text[:120])
        return ""
    return "\0" + text[1:] if text[0] == "@" else text


def _watchdog_s(environment: Mapping[str, str]) -> float:
    """Seconds after which systemd gives this process up; 0 when it does not watch it."""
    period, pid = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if pid and pid != str(os.getpid()):
        return 0.0
    if not (period.isascii() and period.isdigit() and len(period) <= 15):
        if period:
            logger.warning("WATCHDOG_USEC is a number of microseconds, got %r", period[:40])
        return 0.0
    return int(period) / 1e6
