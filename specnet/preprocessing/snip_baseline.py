from __future__ import annotations

import threading
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from specnet.errors import AxisError, ConfigurationError
from specnet.preprocessing.grid import points_in, step_of
from specnet.preprocessing.step import BoundStep, Intensity, Step, register_step, require_positive
from specnet.spectra import SpectralAxis

Real = TypeVar("Real", np.float32, np.float64)

MAX_WINDOWS = 1000
"""Largest half window in points: the work is proportional to it."""


@register_step
class SnipBaseline(Step, frozen=True, kw_only=True, tag="snip_baseline"):
    r"""Subtract the baseline of statistics-sensitive non-linear iterative peak clipping (SNIP).

    For half windows w = M, M-1, ..., 1, or growing from 1 to M,

    .. math:: v_i \leftarrow \min\bigl(v_i, \tfrac12 (v_{i-w} + v_{i+w})\bigr), \qquad w \le i < n - w.

    Sources: Ryan et al., Nuclear Instruments and Methods B 34 (1988) 396; decreasing windows: Morháč, Matoušek, Applied
    Spectroscopy 62 (2008) 91; Morháč, Nuclear Instruments and Methods A 600 (2009) 478.

    Parameters
    ----------
    half_width
        Largest half window *in units of the axis*, about the width of the widest peak at its foot; it means the
        same on every instrument.
    decreasing
        From the widest window down, which gives the smoother baseline; otherwise growing, as first published.
    log_scale
        Clip ``log(log(sqrt(y + 1) + 1) + 1)`` instead of y, for counts over several orders of magnitude. Spectra that
        reach below zero are lifted to zero first.

    Raises
    ------
    ConfigurationError
        When `half_width` is not positive, or a flag is no boolean.
    """

    half_width: float
    decreasing: bool = True
    log_scale: bool = False

    def __post_init__(self) -> None:
        """Validate."""
        require_positive(self, "half_width")
        for field in ("decreasing", "log_scale"):
            if not isinstance(getattr(self, field), bool):
                raise ConfigurationError(f"snip_baseline: {field} is true or false, got {getattr(self, field)!r}")

    def bind(self, axis: SpectralAxis) -> BoundStep:
        """Turn the half width into points.

        Raises
        ------
        AxisError
            When twice the half width does not fit into the axis, or it is over 1,000 points.
        """
        largest = points_in(self.half_width, axis)
        if 2 * largest + 1 > axis.n_points or largest > MAX_WINDOWS:
            most = min((axis.n_points - 1) // 2, MAX_WINDOWS)
            raise AxisError(
                f"snip_baseline: half_width {self.half_width:g} {axis.unit} is {largest} points at a step of "
                f"{step_of(axis):g}; at most {most} fit into {axis.n_points} points"
            )
        windows = range(largest, 0, -1) if self.decreasing else range(1, largest + 1)
        one = None if self.log_scale else _OneSpectrum(axis.n_points, windows)

        def apply(intensity: Intensity) -> Intensity:
            if one is not None and len(intensity) == 1:
                return one.without_baseline(intensity)
            baseline = _log_baseline if self.log_scale else _baseline
            corrected: Intensity = intensity - baseline(intensity, windows)
            return corrected

        return BoundStep(axis, apply)


class _OneSpectrum(threading.local):
    """Clipping of single spectra, with everything cut and allocated beforehand: half of the time, the same numbers.

    Each thread has arrays of its own.
    """

    def __init__(self, n_points: int, windows: range) -> None:
        self._values = values = np.empty(n_points, dtype=np.float32)
        scratch, half = np.empty(n_points, dtype=np.float32), np.full(n_points, 0.5, dtype=np.float32)
        self._windows = [
            (values[:inner], values[2 * window :], values[window : window + inner], scratch[:inner], half[:inner])
            for window, inner in ((window, n_points - 2 * window) for window in windows)
        ]

    def without_baseline(self, intensity: Intensity) -> Intensity:
        """Spectrum ``(1, n_points)`` less its baseline."""
        self._values[:] = intensity[0]
        for left, right, inner, chord, half in self._windows:
            np.add(left, right, chord)
            np.multiply(chord, half, chord)
            np.minimum(inner, chord, inner)
        corrected: Intensity = intensity - self._values
        return corrected


def _baseline(intensity: Intensity, windows: range) -> Intensity:
    return _points_last(_clip(_points_first(intensity), windows))


def _log_baseline(intensity: Intensity, windows: range) -> Intensity:
    """Baseline found in log-log-square-root space, in double precision because its inverse is a double exponential."""
    double = intensity.astype(np.float64)
    lift = np.maximum(0.0, -double.min(axis=1, keepdims=True))
    scaled = np.log1p(np.log1p(np.sqrt(double + lift + 1)))
    clipped = _points_last(_clip(_points_first(scaled), windows))
    baseline: Intensity = (np.expm1(np.expm1(clipped)) ** 2 - 1 - lift).astype(np.float32)
    return baseline


def _points_first(spectra: NDArray[Real]) -> NDArray[Real]:
    """Copy ``(n_points,)`` of one spectrum, ``(n_points, n_spectra)`` of many: slices of points are then contiguous."""
    return spectra[0].copy() if len(spectra) == 1 else np.ascontiguousarray(spectra.T)


def _points_last(values: NDArray[Real]) -> NDArray[Real]:
    return values[None] if values.ndim == 1 else values.T


def _clip(values: NDArray[Real], windows: range) -> NDArray[Real]:
    """Clip peaks in place; points are the first axis."""
    n_points = len(values)
    scratch = np.empty_like(values)
    for window in windows:
        inner = values[window : n_points - window]
        chord = scratch[: n_points - 2 * window]
        np.add(values[: n_points - 2 * window], values[2 * window :], out=chord)
        chord *= 0.5
        np.minimum(inner, chord, out=inner)
    return values
