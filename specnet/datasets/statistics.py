"""One pass over a file of spectra: extremes, defects, copies, and the mean shape of each class."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specnet.datasets.reading import SpectraFile
from specnet.spectra import SpectralAxis

BLOCK_SPECTRA = 2048
PLATEAU_POINTS = 3
"""Neighbouring points at a spectrum's highest value from which its detector was at full scale."""


@dataclass(frozen=True, eq=False)
class SpectraStatistics:
    """What one pass finds.

    Parameters
    ----------
    axis
        The file's axis.
    n_spectra
        Number of spectra.
    minimum, maximum
        Of all finite intensities; None when there are none.
    n_not_finite, n_flat, n_saturated
        Spectra with NaN or infinite points; constant ones; ones whose highest value is a plateau.
    saturated_at
        Highest plateau.
    first_copy
        ``(n_spectra,)`` index of the first spectrum that is identical; its own index when there is none before.
    class_names, counts
        ``(n_classes,)`` names and usable spectra; without labels one class "all spectra".
    mean, spread
        ``(n_classes, n_points)`` mean and standard deviation of standardised spectra (each with mean 0, deviation 1).
    """

    axis: SpectralAxis
    n_spectra: int
    minimum: float | None
    maximum: float | None
    n_not_finite: int
    n_flat: int
    n_saturated: int
    saturated_at: float
    first_copy: NDArray[np.int64]
    class_names: tuple[str, ...]
    counts: NDArray[np.int64]
    mean: NDArray[np.float64]
    spread: NDArray[np.float64]


def collect_statistics(file: SpectraFile, *, progress: Callable[[int], None] | None = None) -> SpectraStatistics:
    """Read all spectra in blocks and collect.

    Parameters
    ----------
    file
        An open file.
    progress
        Told the number of spectra read since the last call.
    """
    labels = np.zeros(file.n_spectra, np.int64) if file.labels is None else file.labels
    names = ("all spectra",) if file.labels is None else file.class_names
    shapes = _ClassShapes(len(names), file.n_points)
    first_copy = np.arange(file.n_spectra)
    seen: dict[bytes, int] = {}
    defects: list[NDArray[np.float64]] = []
    for start in range(0, file.n_spectra, BLOCK_SPECTRA):
        rows = slice(start, min(start + BLOCK_SPECTRA, file.n_spectra))
        raw = file.read(rows)
        for index, spectrum in enumerate(raw, start=start):
            first_copy[index] = seen.setdefault(hashlib.blake2b(spectrum.tobytes(), digest_size=16).digest(), index)
        block = raw.astype(np.float64)
        facts = _facts(block)
        defects.append(facts)
        good = (facts[:, 0] == 0) & (facts[:, 1] == 0) & (labels[rows] >= 0)
        shapes.add(block[good], labels[rows][good])
        if progress is not None:
            progress(len(raw))
    not_finite, flat, plateau, low, high = np.concatenate([np.empty((0, 5)), *defects]).T
    finite = not_finite == 0
    # noise of a few counts makes plateaus far below full scale
    saturated = (plateau > 0) & (high >= 0.5 * high.max(initial=0.0, where=finite))
    mean, spread = shapes.result()
    return SpectraStatistics(
        axis=file.axis,
        n_spectra=file.n_spectra,
        minimum=float(low[finite].min()) if finite.any() else None,
        maximum=float(high[finite].max()) if finite.any() else None,
        n_not_finite=int(not_finite.sum()),
        n_flat=int(flat.sum()),
        n_saturated=int(saturated.sum()),
        saturated_at=float(high[saturated].max(initial=0.0)),
        first_copy=first_copy,
        class_names=names,
        counts=shapes.counts,
        mean=mean,
        spread=spread,
    )


def _facts(block: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(n, 5)``: not finite, constant, plateau at the top, lowest, highest."""
    bad: NDArray[np.bool_] = np.logical_not(np.isfinite(block).all(axis=1))
    safe = np.where(bad[:, None], 0.0, block)
    low, high = safe.min(axis=1), safe.max(axis=1)
    flat = (low == high) & ~bad
    top = safe == high[:, None]
    run = top[:, : -PLATEAU_POINTS + 1].copy() if block.shape[1] >= PLATEAU_POINTS else np.zeros((len(block), 0), bool)
    for shift in range(1, PLATEAU_POINTS):
        run &= top[:, shift : shift + run.shape[1]]
    plateau = run.any(axis=1) & ~flat & ~bad
    return np.stack([bad, flat, plateau, low, high], axis=1).astype(np.float64)


class _ClassShapes:
    """Running mean and spread of standardised spectra per class."""

    def __init__(self, n_classes: int, n_points: int) -> None:
        self.counts = np.zeros(n_classes, np.int64)
        self._sum = np.zeros((n_classes, n_points))
        self._squares = np.zeros((n_classes, n_points))

    def add(self, spectra: NDArray[np.float64], labels: NDArray[Any]) -> None:
        """Add spectra ``(n, n_points)`` that are neither constant nor infinite."""
        centred = spectra - spectra.mean(axis=1, keepdims=True)
        standard = centred / centred.std(axis=1, keepdims=True)
        for label in np.unique(labels):
            chosen = standard[labels == label]
            self.counts[label] += len(chosen)
            self._sum[label] += chosen.sum(axis=0)
            self._squares[label] += (chosen**2).sum(axis=0)

    def result(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and standard deviation ``(n_classes, n_points)``, zero for classes without spectra."""
        n = np.maximum(self.counts, 1)[:, None]
        mean = self._sum / n
        return mean, np.sqrt(np.maximum(self._squares / n - mean**2, 0.0))
