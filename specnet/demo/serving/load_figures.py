"""What a load generator found, as one JSON line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class LoadFigures:
    """Answers of one run; times in milliseconds, of answers that came within the measured seconds.

    Parameters
    ----------
    latency_ms
        From sending a request to its answer, at the device.
    waited_ms, computed_ms
        What the server says of itself: time in it without computing, and computing.
    failed
        Requests with an error for an answer.
    labels
        Label by number of the sample that was asked about, to compare servers with each other.
    """

    latency_ms: list[float] = field(default_factory=list)
    waited_ms: list[float] = field(default_factory=list)
    computed_ms: list[float] = field(default_factory=list)
    failed: int = 0
    labels: dict[int, set[int]] = field(default_factory=dict)

    def add(self, sample: int, label: int, latency_ms: float, waited_ms: float, computed_ms: float) -> None:
        """Count an answer."""
        self.latency_ms.append(latency_ms)
        self.waited_ms.append(waited_ms)
        self.computed_ms.append(computed_ms)
        self.labels.setdefault(sample, set()).add(label)

    def to_dict(self, seconds: float) -> dict[str, Any]:
        """Summarise; `seconds` is how long answers were counted."""
        return {
            "answers": len(self.latency_ms),
            "seconds": round(seconds, 3),
            "answers_s": round(len(self.latency_ms) / seconds, 1),
            "latency_ms": _quantiles(self.latency_ms),
            "waited_ms": _quantiles(self.waited_ms),
            "computed_ms": _quantiles(self.computed_ms),
            "failed": self.failed,
            "labels": {str(sample): sorted(found) for sample, found in sorted(self.labels.items())},
        }


def _quantiles(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    found = np.quantile(np.asarray(values), [0.5, 0.95, 0.99])
    return {name: round(float(value), 3) for name, value in zip(("p50", "p95", "p99"), found, strict=True)}
