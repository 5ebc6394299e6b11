from __future__ import annotations

import numpy as np

from specnet.errors import AxisError, ConfigurationError
from specnet.preprocessing.grid import describe_range, require_coverage
from specnet.preprocessing.step import BoundStep, Intensity, Step, register_step, require_finite
from specnet.spectra import SpectralAxis


@register_step
class Crop(Step, frozen=True, kw_only=True, tag="crop"):
    """Keep the points from `start` to `stop`, both included.

    Parameters
    ----------
    start, stop
        Limits in units of the axis; None leaves that side open.

    Raises
    ------
    ConfigurationError
        When both limits are open, a limit is not finite, or `start` is not below `stop`.
    """

    start: float | None = None
    stop: float | None = None

    def __post_init__(self) -> None:
        """Validate."""
        if self.start is None and self.stop is None:
            raise ConfigurationError("crop: give start, stop or both; got neither")
        for field in ("start", "stop"):
            if getattr(self, field) is not None:
                require_finite(self, field)
        if self.start is not None and self.stop is not None and self.start >= self.stop:
            raise ConfigurationError(f"crop: start is below stop, got {self.start:g} and {self.stop:g}")

    def bind(self, axis: SpectralAxis) -> BoundStep:
        """Find the points to keep.

        Raises
        ------
        AxisError
            When the axis does not reach a limit (half a step may be missing), or fewer than two points are left.
        """
        low = axis.values[0] if self.start is None else self.start
        high = axis.values[-1] if self.stop is None else self.stop
        require_coverage(axis, low, high, "crop")
        first = int(np.searchsorted(axis.values, low, side="left"))
        last = int(np.searchsorted(axis.values, high, side="right"))
        if last - first < 2:
            raise AxisError(
                f"crop to {low:g} to {high:g} {axis.unit} keeps {max(0, last - first)} points of a spectrum from "
                f"{describe_range(axis)}, at least 2 are needed"
            )

        def apply(intensity: Intensity) -> Intensity:
            return intensity[:, first:last]

        return BoundStep(SpectralAxis(axis.values[first:last], axis.quantity, axis.unit), apply)
