"""Who trains a trial, and whether they still do: a killed process says nothing, so others must find out."""

from __future__ import annotations

import os
import platform
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

BEAT_S = 15.0
SILENT_S = 90.0
"""Without a new beat for so long, a process counts as dead."""


@dataclass(frozen=True)
class Owner:
    """One process.

    Parameters
    ----------
    machine
        Name and boot of the machine, and the name space that process numbers count in.
    pid, started
        Number and start, in ticks since boot: numbers are used again.
    """

    machine: str
    pid: int
    started: int

    @classmethod
    def this_process(cls) -> Self:
        """Describe the process that calls."""
        return cls(_machine(), os.getpid(), _started(os.getpid()) or 0)

    @property
    def is_dead(self) -> bool:
        """Whether it is seen to have ended; that of another machine never is."""
        return self.machine == _machine() and self.started > 0 and _started(self.pid) != self.started

    def to_dict(self) -> dict[str, Any]:
        """Plain form for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: object) -> Self | None:
        """Inverse of `to_dict`; None for anything else."""
        if not isinstance(plain, dict) or set(plain) != {"machine", "pid", "started"}:
            return None
        return cls(**plain)


class Watch:
    """Finds out which trials nobody trains any more.

    A beat is a number that changes while its process lives. What counts is for how long it has not changed on the
    clock of who looks, so the clocks of several machines need not agree.
    """

    def __init__(self, silent_s: float = SILENT_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._silent_s = silent_s
        self._clock = clock
        self._seen: dict[int, tuple[object, float]] = {}

    def is_dead(self, number: int, owner: object, beat: object) -> bool:
        """Whether the process of a running trial has ended, or has been silent for too long.

        Parameters
        ----------
        number
            Of the trial.
        owner, beat
            What its process wrote; None before it wrote anything.
        """
        now = self._clock()
        if self._seen.get(number, (object(),))[0] != beat:
            self._seen[number] = beat, now
        described = Owner.from_dict(owner)
        # one that is stopped or hangs is there, and will not finish either
        return (described is not None and described.is_dead) or now - self._seen[number][1] > self._silent_s


@contextmanager
def beating(write: Callable[[float], None], every_s: float = BEAT_S) -> Iterator[None]:
    """Call `write` with a new number now and then, from a thread, as long as the context lasts."""
    stopped = threading.Event()

    def beat() -> None:
        while not stopped.wait(every_s):
            # a storage that is away for a moment is asked again; one that says no has given the trial to another
            with suppress(Exception):
                write(time.time())

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def _machine() -> str:
    boot = _read("/proc/sys/kernel/random/boot_id")
    try:
        space = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        space = ""
    return f"{platform.node()} {boot} {space}"


def _started(pid: int) -> int | None:
    """Start of a process in clock ticks since boot (proc(5), field 22 of stat); None without such a process."""
    text = _read(f"/proc/{pid}/stat")
    fields = text.rpartition(")")[2].split()
    # field 3 is the state: a dead process whose parent has not asked for it yet is a Z
    return int(fields[19]) if len(fields) > 19 and fields[0] not in "ZX" else None


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
