"""What the demonstration counts: one final answer a spectrum, who gave it, what it cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass
class Tally:
    """Collects the device's records for spectra with known labels ``(n,)``; sequence i is spectrum i."""

    labels: NDArray[np.int64]
    answers: dict[int, dict[str, Any]] = field(default_factory=dict)
    provisional: int = 0
    rejected: set[int] = field(default_factory=set)
    finals: Counter[int] = field(default_factory=Counter)

    def add(self, record: Mapping[str, Any]) -> None:
        """Count one record."""
        kind = record.get("type")
        if kind == "answer" and record["final"]:
            self.finals[record["sequence"]] += 1
            self.answers[record["sequence"]] = dict(record)
        elif kind == "rejected":
            self.finals[record["sequence"]] += 1
            self.rejected.add(record["sequence"])
        elif kind == "provisional":
            self.provisional += 1

    @property
    def lost(self) -> int:
        """Spectra without a final answer."""
        return len(self.labels) - len(self.finals)

    @property
    def duplicates(self) -> int:
        """Final answers beyond the first of a spectrum."""
        return sum(self.finals.values()) - len(self.finals)

    def is_right(self, sequence: int) -> bool:
        """Whether the final answer names the spectrum's label."""
        return bool(self.answers[sequence]["label"] == self.labels[sequence])

    def summary(self) -> dict[str, Any]:
        """Fields of ``specnet demo --json`` that come from the records."""
        offloaded = [a for a in self.answers.values() if a["bytes"] > 0]
        local = [a for a in self.answers.values() if a["bytes"] == 0]
        right = [self.is_right(sequence) for sequence in self.answers]
        alone = [
            a.get("own_label", a["label"]) == self.labels[sequence] for sequence, a in sorted(self.answers.items())
        ]
        asked = [s for s, a in self.answers.items() if a["bytes"] > 0]
        return {
            "n": len(self.labels),
            "lost": self.lost,
            "duplicates": self.duplicates,
            "rejected": len(self.rejected),
            "provisional": self.provisional,
            "accuracy": _mean(right),
            "device_only_accuracy": _mean(alone),
            "offloaded_accuracy": _mean([self.is_right(s) for s in asked]),
            "offloaded_device_accuracy": _mean([self.answers[s]["own_label"] == self.labels[s] for s in asked]),
            "mean_macs": _mean([a["macs"] + a["gateway_macs"] for a in self.answers.values()]),
            "local_share": len(local) / max(1, len(self.answers)),
            "bytes_per_offload": _mean([a["bytes"] for a in offloaded]),
            **_percentiles("local", [a["latency_ms"] for a in local]),
            **_percentiles("offload", [a["latency_ms"] for a in offloaded]),
        }


def _mean(values: list[Any]) -> float | None:
    return float(np.mean(values)) if values else None


def _percentiles(name: str, milliseconds: list[float]) -> dict[str, float | None]:
    if not milliseconds:
        return {f"p50_{name}_ms": None, f"p95_{name}_ms": None}
    p50, p95 = np.percentile(milliseconds, [50, 95])
    return {f"p50_{name}_ms": float(p50), f"p95_{name}_ms": float(p95)}
