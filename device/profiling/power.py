"""Power of this device: by the processor's energy counters where the kernel lets us read them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

POWERCAP = Path("/sys/class/powercap")
PERIOD_S = 1.0


@dataclass(frozen=True)
class Power:
    """Watts while computing and while waiting, and where they come from."""

    active_watts: float
    idle_watts: float
    source: Literal["stated", "measured", "unknown"]


UNKNOWN = Power(0.0, 0.0, "unknown")


@dataclass(frozen=True)
class _Counter:
    """Energy counter of one processor package, in microjoules; it starts again at `largest`."""

    path: Path
    largest: int

    def read(self) -> int:
        return int(self.path.read_text())

    def joules(self, before: int, after: int) -> float:
        return ((after - before) % (self.largest + 1)) * 1e-6


def measure_power(work: Callable[[], object], *, root: Path = POWERCAP, seconds: float = PERIOD_S) -> Power:
    """Measure idle and active power, or find that it cannot be measured.

    Parameters
    ----------
    work
        Something short to compute, called again and again.
    root
        Folder of the kernel's powercap zones. Packages are counted: their cores are in them, and a second interface to
        the same package would count it twice.
    seconds
        Length of each of the two measurements.
    """
    counters = _counters(root)
    if not counters:
        return UNKNOWN
    idle = _watts(counters, lambda: time.sleep(seconds))
    active = _watts(counters, lambda: _repeat(work, seconds))
    if active <= 0:  # counters that stand still, as in some virtual machines
        return UNKNOWN
    return Power(active, min(idle, active), "measured")


def _counters(root: Path) -> list[_Counter]:
    counters = []
    for zone in sorted(root.glob("intel-rapl:*")):
        if zone.name.count(":") != 1:
            continue
        try:
            name = (zone / "name").read_text()
            counter = _Counter(zone / "energy_uj", int((zone / "max_energy_range_uj").read_text()))
            counter.read()
        except (OSError, ValueError):  # readable by root alone since Linux 5.10
            continue
        if name.startswith("package"):
            counters.append(counter)
    return counters


def _watts(counters: list[_Counter], period: Callable[[], None]) -> float:
    before, began = [counter.read() for counter in counters], time.perf_counter()
    period()
    after, seconds = [counter.read() for counter in counters], time.perf_counter() - began
    return sum(c.joules(b, a) for c, b, a in zip(counters, before, after, strict=True)) / seconds


def _repeat(work: Callable[[], object], seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        work()
