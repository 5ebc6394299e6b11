"""The median of each spectrum."""

from __future__ import annotations

import numpy as np

from specnet.preprocessing.step import Intensity


def row_medians(rows: Intensity) -> Intensity:
    """Median of each row ``(n, 1)`` of ``(n, n_points)``; np.median does the same several times slower for one row."""
    middle = rows.shape[1] // 2
    parted = np.partition(rows, middle, axis=1)
    upper = parted[:, middle : middle + 1]
    if rows.shape[1] % 2:
        return upper
    median: Intensity = (upper + parted[:, :middle].max(axis=1, keepdims=True)) * np.float32(0.5)
    return median
