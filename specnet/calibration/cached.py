"""What a network said of a split, kept so that thresholds, combiners and budgets are explored in seconds.

Legend: n spectra, C classes, E exits (exit 0 is the linear one).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from specnet.errors import ModelError
from specnet.exits import MAX_EXITS


@dataclass(frozen=True)
class CachedLogits:
    """Logits of every exit for a labelled split, and what each of them cost.

    Parameters
    ----------
    logits
        ``(E, n, C)`` float32, finite.
    labels
        ``(n,)`` int64 in ``0 .. C - 1``.
    macs
        ``(E, n)`` int64: multiply-accumulates really executed until exit e has answered, all exits before it included.
        They differ from spectrum to spectrum because positions halt on their own.
    static_macs
        The full network up to its last exit, every position.
    groups
        ``(n,)`` what spectra have in common (a sample, a subject), so that none is judged by what was fitted on others
        of its group; None where every spectrum stands for itself.

    Raises
    ------
    ModelError
        When shapes do not agree, a number is not finite, a label has no class, or an exit is cheaper than the one
        before it.
    """

    logits: NDArray[np.float32]
    labels: NDArray[np.int64]
    macs: NDArray[np.int64]
    static_macs: int
    groups: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        shape = self.logits.shape
        if self.logits.ndim != 3 or not 1 <= shape[0] <= MAX_EXITS or shape[1] < 1 or shape[2] < 2:
            raise ModelError(
                f"cached logits are (exits 1..{MAX_EXITS}, spectra >= 1, classes >= 2), got shape {self.logits.shape}"
            )
        if self.labels.shape != shape[1:2] or self.macs.shape != shape[:2]:
            raise ModelError(
                f"logits {shape} need labels {shape[1:2]} and macs {shape[:2]}, "
                f"got {self.labels.shape} and {self.macs.shape}"
            )
        if self.groups is not None and self.groups.shape != self.labels.shape:
            raise ModelError(f"labels {self.labels.shape} need as many groups, got {self.groups.shape}")
        if not np.isfinite(self.logits).all():
            raise ModelError(f"{int((~np.isfinite(self.logits)).sum())} of {self.logits.size} logits are not finite")
        if self.labels.min() < 0 or self.labels.max() >= shape[2]:
            raise ModelError(
                f"labels reach from {self.labels.min()} to {self.labels.max()}, expected 0..{shape[2] - 1}"
            )
        if self.macs.min() < 0 or (np.diff(self.macs, axis=0) < 0).any():
            raise ModelError("macs are cumulative over exits: none is negative and none below the exit before it")
        if self.static_macs <= 0:
            raise ModelError(f"static_macs is positive, got {self.static_macs}")

    @property
    def n_exits(self) -> int:
        """Number of exits E."""
        return int(self.logits.shape[0])

    @property
    def n_spectra(self) -> int:
        """Number of spectra n."""
        return int(self.logits.shape[1])

    @property
    def n_units(self) -> int:
        """Number of what stands for itself: groups, or spectra where there are none."""
        return self.n_spectra if self.groups is None else len(np.unique(self.groups))

    @property
    def n_classes(self) -> int:
        """Number of classes C."""
        return int(self.logits.shape[2])

    def answering(self, *, additive: bool) -> list[NDArray[np.float32]]:
        """Logits ``(n, C)`` that each exit answers by: with `additive`, exits after exit 0 add to its logits."""
        first, *rest = self.logits
        return [first, *(logits + first if additive else logits for logits in rest)]

    def take(self, rows: NDArray[np.int64]) -> Self:
        """Keep some of the spectra, rows ``(m,)``."""
        groups = None if self.groups is None else self.groups[rows]
        return type(self)(self.logits[:, rows], self.labels[rows], self.macs[:, rows], self.static_macs, groups)

    def without_first_exit(self) -> Self:
        """Leave exit 0 out, whose cost is the same for every spectrum."""
        if self.n_exits < 2:
            raise ModelError("a network with one exit has none besides the first")
        spared = int(self.macs[0, 0])
        macs = self.macs[1:] - spared
        return type(self)(self.logits[1:], self.labels, macs, self.static_macs - spared, self.groups)
