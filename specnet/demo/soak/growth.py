"""What processes take over time, and how fast that grows."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SETTLED_SHARE = 0.2
"""Part of a run that is left out of slopes: caches fill and pools of memory find their size."""
LEAST_SAMPLES = 3
MOST_POINTS = 100


@dataclass(frozen=True, slots=True)
class Sample:
    """Bytes at one moment: memory of a gateway that lives through the run and of the devices, files of all gateways."""

    seconds: float
    answered: int
    gateway: int
    devices: int
    disk: int


def resident_bytes(pid: int) -> int:
    """Memory that a process has in use (Linux); `OSError` when there is no such process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def folder_bytes(folder: Path) -> int:
    """Size of all files below a folder."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:  # a database's side files come and go
            continue
    return total


def describe_growth(samples: Sequence[Sample], what: str) -> dict[str, Any]:
    """Sum up one field of `Sample`: megabytes at the beginning, at the end and at most, and slopes by least squares.

    Slopes are None where there are too few samples behind the beginning of the run.
    """
    values = np.array([getattr(sample, what) for sample in samples], dtype=np.float64) / 1e6
    times = np.array([sample.seconds for sample in samples])
    answered = np.array([sample.answered for sample in samples], dtype=np.float64)
    settled = times >= SETTLED_SHARE * times.max(initial=0.0)
    return {
        "first_mb": _rounded(values[:1]),
        "last_mb": _rounded(values[-1:]),
        "most_mb": _rounded(values),
        "mb_per_100k_requests": _slope(answered[settled] / 1e5, values[settled]),
        "mb_per_hour": _slope(times[settled] / 3600, values[settled]),
    }


def thinned(samples: Sequence[Sample], most: int = MOST_POINTS) -> list[list[float]]:
    """Pick at most so many samples, evenly: seconds, answers, and megabytes in the order of `Sample`."""
    step = max(1, -(-len(samples) // most))
    return [
        [round(s.seconds, 1), s.answered, *(round(value / 1e6, 2) for value in (s.gateway, s.devices, s.disk))]
        for s in samples[::step]
    ]


def _rounded(values: NDArray[np.float64]) -> float | None:
    return round(float(values.max()), 2) if len(values) else None


def _slope(x: NDArray[np.float64], y: NDArray[np.float64]) -> float | None:
    if len(x) < LEAST_SAMPLES or np.ptp(x) == 0:
        return None
    centred = x - x.mean()
    return round(float(centred @ (y - y.mean()) / (centred @ centred)), 3)
