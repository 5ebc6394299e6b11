"""Weights that bring spectra from one grid to another, computed once for a pair of grids."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from specnet.preprocessing.step import Intensity

Values = NDArray[np.float64]


def interpolator(source: Values, target: Values, taps: int) -> Callable[[Intensity], Intensity]:
    """Polynomial through the nearest `taps` source points (Lagrange): 2 is linear, 4 cubic.

    Parameters
    ----------
    source, target
        ``(n_source,)`` and ``(n_target,)``, ascending. Beyond the ends of the source its last value holds.
    taps
        Points per polynomial; fewer when the source has fewer.

    Returns
    -------
    Callable
        From float32 ``(n_spectra, n_source)`` to float32 ``(n_spectra, n_target)``.
    """
    taps = min(taps, source.size)
    position = np.clip(target, source[0], source[-1])
    left = np.searchsorted(source, position, side="right") - taps // 2
    left = np.clip(left, 0, source.size - taps)
    indices = [left + tap for tap in range(taps)]
    weights = _lagrange_weights(source[np.stack(indices)], position)

    def apply(intensity: Intensity) -> Intensity:
        # double precision: cubic weights of both signs would otherwise add rounding to high counts
        total: Values = np.take(intensity, indices[0], axis=1) * weights[0]
        for tap in range(1, taps):
            total += np.take(intensity, indices[tap], axis=1) * weights[tap]
        return total.astype(np.float32)

    return apply


def _lagrange_weights(nodes: Values, position: Values) -> Values:
    """Weights ``(taps, n)`` of the polynomials through `nodes` ``(taps, n)`` at `position` ``(n,)``."""
    weights = np.ones_like(nodes)
    for i in range(len(nodes)):
        for j in range(len(nodes)):
            if j != i:
                weights[i] *= (position - nodes[j]) / (nodes[i] - nodes[j])
    return weights


def averager(source: Values, target: Values) -> Callable[[Intensity], Intensity]:
    """Mean over each target bin, every source bin counting with the part that overlaps.

    Bins end half way between points. The spectrum is taken as constant within a source bin; its integral is then
    linear within a bin, and a mean is a difference of two values of the integral.

    Parameters
    ----------
    source, target
        ``(n_source,)`` and ``(n_target,)``, ascending. Target bins are cut off where the source ends.

    Returns
    -------
    Callable
        From float32 ``(n_spectra, n_source)`` to float32 ``(n_spectra, n_target)``.
    """
    edges = _bin_edges(source)
    widths = np.diff(edges)
    targets = np.clip(_bin_edges(target), edges[0], edges[-1])
    spans = np.diff(targets)
    bins = np.clip(np.searchsorted(edges, targets, side="right") - 1, 0, source.size - 1)
    beyond = targets - edges[bins]

    def apply(intensity: Intensity) -> Intensity:
        double = intensity.astype(np.float64)
        integral = np.zeros((len(double), source.size + 1))
        np.cumsum(double * widths, axis=1, out=integral[:, 1:])
        upto = np.take(integral, bins, axis=1) + np.take(double, bins, axis=1) * beyond
        return (np.diff(upto, axis=1) / spans).astype(np.float32)

    return apply


def _bin_edges(values: Values) -> Values:
    """Edges ``(n + 1,)`` half way between points; the outer bins reach as far outwards as inwards."""
    middle = (values[:-1] + values[1:]) / 2
    return np.concatenate([[2 * values[0] - middle[0]], middle, [2 * values[-1] - middle[-1]]])
