from __future__ import annotations

from typing import Literal, Self

import numpy as np

from specnet.errors import AxisError, ConfigurationError
from specnet.preprocessing.grid import require_coverage, same_grid, step_of
from specnet.preprocessing.interpolation import averager, interpolator
from specnet.preprocessing.step import (
    BoundStep,
    Intensity,
    Step,
    register_step,
    require_choice,
    require_finite,
    require_integer,
)
from specnet.spectra import MAX_POINTS, Quantity, SpectralAxis

TAPS = {"linear": 2, "cubic": 4}

COARSER = 1.5
"""From this ratio of steps, target over source, points are means over bins: interpolation would alias."""


@register_step
class Resample(Step, frozen=True, kw_only=True, tag="resample"):
    """Bring spectra to a stated grid, so that instruments with other axes can use the same model.

    The grid is either uniform (`start`, `stop`, `points`) or given point by point (`values`). Where the target is
    at least 1.5 times coarser than the source (medians of the steps), each target point is the mean over its bin;
    otherwise it is interpolated. A source that has the target's grid already is passed through.

    Parameters
    ----------
    quantity, unit
        What the target measures; the source must measure the same.
    start, stop, points
        Uniform grid, both ends included.
    values
        Explicit grid, strictly ascending.
    method
        Interpolation: ``"linear"``, or ``"cubic"`` (polynomial through the four nearest points).

    Raises
    ------
    ConfigurationError
        When the grid is given in both ways or none, or is no valid axis.
    """

    quantity: Quantity
    unit: str = ""
    start: float | None = None
    stop: float | None = None
    points: int | None = None
    values: tuple[float, ...] | None = None
    method: Literal["linear", "cubic"] = "linear"

    def __post_init__(self) -> None:
        """Validate."""
        require_choice(self, "method", tuple(TAPS))
        uniform = (self.start, self.stop, self.points)
        if (self.values is None) == (None in uniform) or (self.values is not None and uniform != (None, None, None)):
            raise ConfigurationError(
                "resample: give either start, stop and points, or values; "
                f"got start {self.start}, stop {self.stop}, points {self.points} and "
                f"{'no' if self.values is None else len(self.values)} values"
            )
        if self.values is None:
            require_finite(self, "start")
            require_finite(self, "stop")
            require_integer(self, "points", 2, MAX_POINTS)
        try:
            self.target()
        except (AxisError, TypeError, ValueError) as error:
            raise ConfigurationError(f"resample: {error}") from error

    @classmethod
    def to(cls, axis: SpectralAxis, method: Literal["linear", "cubic"] = "linear") -> Self:
        """Step that resamples to `axis`, written as a uniform grid where that says the same."""
        start, stop = float(axis.values[0]), float(axis.values[-1])
        even = SpectralAxis(np.linspace(start, stop, axis.n_points), axis.quantity, axis.unit)
        if same_grid(even, axis):
            return cls.uniform(axis, method)
        grid = tuple(axis.values.tolist())
        return cls(quantity=axis.quantity, unit=axis.unit, values=grid, method=method)

    @classmethod
    def uniform(cls, axis: SpectralAxis, method: Literal["linear", "cubic"] = "linear") -> Self:
        """Step that resamples to a uniform grid of the range and number of points of `axis`."""
        start, stop = float(axis.values[0]), float(axis.values[-1])
        return cls(quantity=axis.quantity, unit=axis.unit, start=start, stop=stop, points=axis.n_points, method=method)

    def target(self) -> SpectralAxis:
        """Return the stated grid."""
        if self.values is not None:
            return SpectralAxis(np.array(self.values, dtype=np.float64), self.quantity, self.unit)
        if self.start is None or self.stop is None or self.points is None:
            raise ConfigurationError("resample: a uniform grid needs start, stop and points")
        return SpectralAxis(np.linspace(self.start, self.stop, self.points), self.quantity, self.unit)

    def bind(self, axis: SpectralAxis) -> BoundStep:
        """Compute the weights.

        Raises
        ------
        AxisError
            When the source measures another quantity or unit, or does not cover the target to within half a
            source step.
        """
        target = self.target()
        target.require_same_kind(axis, "the axis of the spectra")
        if same_grid(axis, target):
            return BoundStep(target, _unchanged)
        require_coverage(axis, float(target.values[0]), float(target.values[-1]), "resample")
        if step_of(target) >= COARSER * step_of(axis):
            return BoundStep(target, averager(axis.values, target.values))
        return BoundStep(target, interpolator(axis.values, target.values, TAPS[self.method]))


def _unchanged(intensity: Intensity) -> Intensity:
    return intensity
