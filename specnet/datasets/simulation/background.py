"""Fluorescence: broad, smooth and often stronger than the Raman signal."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

N_HUMPS = 3


def fluorescence(axis: NDArray[np.float64], n: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw n fluorescence backgrounds.

    Each is the sum of three Gaussian humps of random weight, centre and width plus a linear slope: emission bands
    of impurities and organic matter are thousands of 1/cm wide, of which the axis shows a part.

    Parameters
    ----------
    axis
        ``(n_points,)`` Raman shift in 1/cm.
    n
        How many.
    rng
        Source of randomness.

    Returns
    -------
    ndarray ``(n, n_points)``
        Positive, with maximum 1 in each row.
    """
    span = float(axis[-1] - axis[0])
    unit = ((axis - axis[0]) / span).astype(np.float32)
    # centres may lie outside of the axis, and no hump is narrower than a third of it: smooth against any Raman band
    centre = rng.uniform(-0.6, 1.6, (n, N_HUMPS, 1)).astype(np.float32)
    width = rng.uniform(0.3, 1.2, (n, N_HUMPS, 1)).astype(np.float32)
    weight = rng.uniform(0.0, 1.0, (n, N_HUMPS, 1)).astype(np.float32)
    background = np.zeros((n, unit.size), dtype=np.float32)
    for hump in range(N_HUMPS):
        background += weight[:, hump] * np.exp(-0.5 * ((unit - centre[:, hump]) / width[:, hump]) ** 2)
    slope = rng.uniform(-0.5, 0.5, (n, 1)).astype(np.float32)
    background += 0.05 + 0.2 * (1.0 + slope * (2.0 * unit - 1.0))
    return np.asarray(background / background.max(axis=1, keepdims=True), dtype=np.float32)
