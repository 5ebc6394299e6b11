from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from specnet.errors import AxisError
from specnet.preprocessing.median import row_medians
from specnet.preprocessing.step import BoundStep, Intensity, Step, register_step, require_integer, require_positive
from specnet.spectra import SpectralAxis

NORMAL_CONSISTENCY = 0.6745
"""Median absolute deviation of a standard normal variable."""

MEAN_CONSISTENCY = 0.7979
"""Mean absolute deviation of a standard normal variable."""

PROMINENCE = 0.7
"""Share of a feature's height that must be narrow for the feature to be a spike."""


@register_step
class Despike(Step, frozen=True, kw_only=True, tag="despike"):
    r"""Replace cosmic-ray spikes by the mean of the sound points around them.

    Source: Whitaker, Hayes, Chemometrics and Intelligent Laboratory Systems 179 (2018) 82. Spikes show in the modified
    z-score of the differences :math:`d_i = y_{i+1} - y_i`:

    .. math:: z_i = 0.6745\,(d_i - \mathrm{median}(d)) / \mathrm{median}(|d - \mathrm{median}(d)|), \quad |z_i| > \tau.

    A strong Raman band in a quiet spectrum passes that test too, and would be cut off. So in a spectrum with such
    jumps a point is replaced only when it also stands out *narrowly*: its height over the morphological opening with
    ``width + 1`` points is over the same threshold (for `width` 2 that takes a jump beside it), and is at least 0.7 of
    its height over the opening with ``2 width + 3`` points.
    With `width` 2, bands from about 2.2 points full width at half maximum upwards are left alone.

    Parameters
    ----------
    threshold
        Of the modified z-score.
    width
        Most points that a spike has.
    window
        Points looked at on each side for the replacement.
    passes
        Repetitions: the second takes the feet that the first left standing.

    Raises
    ------
    ConfigurationError
        For a value out of range.
    """

    threshold: float = 7.0
    width: int = 2
    window: int = 4
    passes: int = 2

    def __post_init__(self) -> None:
        """Validate."""
        require_positive(self, "threshold")
        require_integer(self, "width", 1, 20)
        require_integer(self, "window", 1, 100)
        require_integer(self, "passes", 1, 10)

    def bind(self, axis: SpectralAxis) -> BoundStep:
        """Check the length.

        Raises
        ------
        AxisError
            When the axis is shorter than the wider opening.
        """
        needed = 2 * self.width + 3
        if axis.n_points < needed:
            raise AxisError(f"despike: width {self.width} needs at least {needed} points, the axis has {axis.n_points}")

        def apply(intensity: Intensity) -> Intensity:
            return self._apply(intensity)

        return BoundStep(axis, apply)

    def _apply(self, intensity: Intensity) -> Intensity:
        cleaned, suspects = intensity, np.arange(len(intensity))
        for number in range(self.passes):
            rows = cleaned[suspects] if number else cleaned
            differences = rows[:, 1:] - rows[:, :-1]
            differences -= row_medians(differences)
            sizes = np.abs(differences, out=differences)
            scale = _noise(sizes)
            jumping = (np.maximum.reduce(sizes, axis=1, keepdims=True) > self.threshold * scale)[:, 0]
            if np.count_nonzero(jumping) < jumping.size:  # a fifth of what .all() takes for one spectrum
                suspects, rows, scale = suspects[jumping], rows[jumping], scale[jumping]
            if not suspects.size:
                break
            spikes = self._spikes(rows, scale)
            spiky = np.logical_or.reduce(spikes, axis=1)
            suspects = suspects[spiky]
            if not suspects.size:
                break
            if cleaned is intensity:
                cleaned = intensity.copy()
            cleaned[suspects] = _fill(rows[spiky], spikes[spiky], self.window)
        return cleaned

    def _spikes(self, rows: Intensity, scale: Intensity) -> NDArray[np.bool_]:
        """Points ``(n, n_points)`` that are part of a spike."""
        narrow = rows - _opening(rows, self.width + 1)
        spikes = narrow > self.threshold * scale
        if np.count_nonzero(spikes):
            spikes &= narrow >= PROMINENCE * (rows - _opening(rows, 2 * self.width + 3))
        return spikes


def _noise(magnitude: Intensity) -> Intensity:
    """Estimate the standard deviation ``(n, 1)`` of centred differences from their sizes; spikes count little.

    Where more than half of the differences are equal (few counts, clipped values) the median absolute deviation is
    zero; the mean absolute deviation takes its place (Iglewicz, Hoaglin, How to Detect and Handle Outliers, 1993).
    """
    scale = row_medians(magnitude) / np.float32(NORMAL_CONSISTENCY)
    if np.count_nonzero(scale) < scale.size:
        mean = magnitude.mean(axis=1, keepdims=True) / np.float32(MEAN_CONSISTENCY)
        scale = np.where(scale == 0, mean, scale)
    return scale


def _opening(rows: Intensity, size: int) -> Intensity:
    """Morphological opening with a flat element: the highest of the minima of all windows that hold the point."""
    eroded = _sliding(np.minimum, rows, size)
    padded = np.full((len(rows), eroded.shape[1] + 2 * (size - 1)), -np.inf, dtype=rows.dtype)
    padded[:, size - 1 : size - 1 + eroded.shape[1]] = eroded
    return _sliding(np.maximum, padded, size)


def _sliding(combine: np.ufunc, rows: Intensity, size: int) -> Intensity:
    """`combine` over every full window of `size` points, by doubling: ``(n, n_points - size + 1)``."""
    reach = 1
    while reach < size:
        shift = min(reach, size - reach)
        rows = combine(rows[:, :-shift], rows[:, shift:])
        reach += shift
    return rows


def _fill(rows: Intensity, spikes: NDArray[np.bool_], window: int) -> Intensity:
    """Rows with each marked point replaced by the mean of the unmarked ones within `window` points."""
    row, point = np.nonzero(spikes)
    near = point[:, None] + np.arange(-window, window + 1)
    inside = (near >= 0) & (near < rows.shape[1])
    near = np.clip(near, 0, rows.shape[1] - 1)
    sound = inside & ~spikes[row[:, None], near]
    count = sound.sum(axis=1)
    mean = np.where(sound, rows[row[:, None], near], 0).sum(axis=1, dtype=np.float64) / np.maximum(count, 1)
    filled = rows.copy()
    filled[row, point] = np.where(count > 0, mean, rows[row, point])
    return filled
