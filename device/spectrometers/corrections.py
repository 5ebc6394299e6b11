"""Corrections of the detector itself, as python-seabreeze names them: dark counts and nonlinearity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specnet.errors import SpectrometerError


def correct_detector(
    counts: NDArray[Any],
    *,
    dark_pixels: Sequence[int] = (),
    nonlinearity: Sequence[float] = (),
    correct_dark_counts: bool,
    correct_nonlinearity: bool,
) -> NDArray[np.float64]:
    """Correct raw counts.

    Parameters
    ----------
    counts
        Raw spectrum ``(n_points,)``.
    dark_pixels
        Optically black pixels, counted from 0; the mean of their counts is the offset.
    nonlinearity
        Polynomial in the counts over the offset, constant term first, by which they are divided (Ocean Optics, "USB4000
        Data Sheet", nonlinearity coefficients).
    correct_dark_counts, correct_nonlinearity
        Which corrections are wanted. With the second alone the offset is added again.

    Raises
    ------
    SpectrometerError
        When a correction is wanted whose pixels or coefficients are unknown.
    """
    black = list(dark_pixels)
    if black and not 0 <= min(black) <= max(black) < len(counts):
        raise SpectrometerError(f"optically black pixels are from 0 to {len(counts) - 1}, got {black[:20]}")
    if correct_dark_counts and not black:
        raise SpectrometerError("dark counts cannot be corrected: no optically black pixels are known")
    if correct_nonlinearity and not nonlinearity:
        raise SpectrometerError("nonlinearity cannot be corrected: the instrument tells no coefficients")
    values = counts.astype(np.float64)
    offset = float(values[black].mean()) if black else 0.0
    if correct_nonlinearity:
        above = values - offset
        values = above / np.polynomial.polynomial.polyval(above, np.asarray(nonlinearity, dtype=np.float64)) + offset
    return values - offset if correct_dark_counts else values
