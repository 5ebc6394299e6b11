"""What leaving at each exit would mean for every spectrum of a split: score, right or wrong, cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from specnet.calibration.cached import CachedLogits
from specnet.exits import ExitPolicy, route


@dataclass(frozen=True)
class Outcome:
    """What a set of thresholds does to a split.

    Exit index ``(n,)`` of every spectrum, mean executed MACs, accuracy, share of spectra ``(E,)`` for each exit.
    """

    exit_index: NDArray[np.int64]
    mean_macs: float
    accuracy: float
    exit_shares: tuple[float, ...]


@dataclass(frozen=True)
class ExitTable:
    """Scores, correctness and executed MACs, each ``(E, n)``, of the combined predictions at every exit."""

    scores: NDArray[np.float32]
    correct: NDArray[np.bool_]
    macs: NDArray[np.int64]

    @classmethod
    def of(cls, cached: CachedLogits, policy: ExitPolicy) -> Self:
        """Table for a policy's temperatures, combiner and score; its thresholds play no part."""
        routing = route(policy, cached.logits)
        return cls(routing.all_scores, routing.all_probabilities.argmax(axis=-1) == cached.labels, cached.macs)

    @property
    def n_exits(self) -> int:
        """Number of exits E."""
        return len(self.scores)

    @property
    def n_spectra(self) -> int:
        """Number of spectra n."""
        return int(self.scores.shape[1])

    def outcome(self, thresholds: Sequence[float]) -> Outcome:
        """Send every spectrum out at the first exit whose score reaches its threshold, or at the last one."""
        leave = self.scores >= np.asarray(thresholds, dtype=np.float32)[:, np.newaxis]
        leave[-1] = True
        exit_index = leave.argmax(axis=0)
        rows = np.arange(self.n_spectra)
        counts = np.bincount(exit_index, minlength=self.n_exits)
        return Outcome(
            exit_index,
            float(self.macs[exit_index, rows].mean()),
            float(self.correct[exit_index, rows].mean()),
            tuple((counts / self.n_spectra).tolist()),
        )
