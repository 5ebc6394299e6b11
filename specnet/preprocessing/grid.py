"""Questions that steps ask about an axis: its step, whether it is uniform, what it covers."""

from __future__ import annotations

import math

import numpy as np

from specnet.errors import AxisError
from specnet.spectra import SpectralAxis

UNIFORM_TOLERANCE = 1e-2
"""Largest relative deviation of a step from the mean step on an axis that still counts as uniform."""


def step_of(axis: SpectralAxis) -> float:
    """Median distance of neighbouring points, in units of the axis."""
    return float(np.median(np.diff(axis.values)))


def is_uniform(axis: SpectralAxis) -> bool:
    """Whether all steps agree within `UNIFORM_TOLERANCE`."""
    steps = np.diff(axis.values)
    return bool(np.abs(steps / steps.mean() - 1).max() <= UNIFORM_TOLERANCE)


def same_grid(first: SpectralAxis, second: SpectralAxis) -> bool:
    """Whether two axes have the same points to within a millionth of a step (what printing and parsing loses)."""
    if first.n_points != second.n_points:
        return False
    return float(np.abs(first.values - second.values).max()) <= 1e-6 * step_of(first)


def describe_range(axis: SpectralAxis) -> str:
    """Range of an axis for a message."""
    return f"{axis.values[0]:g} to {axis.values[-1]:g} {axis.unit}"


def require_coverage(axis: SpectralAxis, start: float, stop: float, what: str) -> None:
    """Raise `AxisError` unless the axis reaches from `start` to `stop`.

    A detector's point stands for half a step to either side, so that much may be missing at each end.
    """
    steps = np.diff(axis.values)
    low, high = axis.values[0] - steps[0] / 2, axis.values[-1] + steps[-1] / 2
    if start < low or stop > high:
        raise AxisError(
            f"{what} needs {start:g} to {stop:g} {axis.unit}, the spectrum covers {describe_range(axis)} "
            "(half a step may be missing at each end)"
        )


def points_in(width: float, axis: SpectralAxis) -> int:
    """Nearest whole number of steps of the axis in `width` (units of the axis), at least one."""
    return max(1, math.floor(width / step_of(axis) + 0.5))
