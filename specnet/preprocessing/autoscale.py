from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from specnet.errors import AxisError, ConfigurationError
from specnet.preprocessing.step import BoundStep, Intensity, Step, register_step, step_name
from specnet.spectra import MAX_POINTS, SpectralAxis


@register_step
class Autoscale(Step, frozen=True, kw_only=True, tag="autoscale"):
    """Subtract the mean spectrum of the training set and divide every point by its spread there.

    Mean centring with autoscaling, as chemometrics calls it; unlike the other steps it is fitted, see `fit`.

    Parameters
    ----------
    mean, scale
        ``(n_points,)`` each; scales are positive.

    Raises
    ------
    ConfigurationError
        When lengths differ, a number is not finite, or a scale is not positive.
    """

    mean: tuple[float, ...]
    scale: tuple[float, ...]

    def __post_init__(self) -> None:
        """Validate."""
        name = step_name(self)
        if not 2 <= len(self.mean) <= MAX_POINTS or len(self.mean) != len(self.scale):
            raise ConfigurationError(
                f"{name}: mean and scale have one number a point (2 to {MAX_POINTS}), "
                f"got {len(self.mean)} and {len(self.scale)}"
            )
        if not np.isfinite(self.mean).all():
            raise ConfigurationError(f"{name}: the mean is finite at every point")
        if not (np.isfinite(self.scale).all() and min(self.scale) > 0):
            raise ConfigurationError(f"{name}: scales are positive, the least is {min(self.scale):g}")

    @classmethod
    def fit(cls, spectra: ArrayLike) -> Autoscale:
        """Fit on training spectra ``(n, n_points)``; a point that never changes keeps its scale.

        A spread below a thousandth of the median one is raised to that, or points without signal would be all noise.
        """
        array = np.asarray(spectra, dtype=np.float64)
        spread = array.std(axis=0)
        typical = float(np.median(spread[spread > 0])) if (spread > 0).any() else 1.0
        scale = np.maximum(spread, 1e-3 * typical)
        return cls(mean=tuple(array.mean(axis=0).tolist()), scale=tuple(scale.tolist()))

    def bind(self, axis: SpectralAxis) -> BoundStep:
        """Check the number of points.

        Raises
        ------
        AxisError
            When the axis has another number of points than the training spectra had here.
        """
        if axis.n_points != len(self.mean):
            raise AxisError(f"autoscale was fitted on {len(self.mean)} points, the axis has {axis.n_points}")
        mean, scale = np.asarray(self.mean), np.asarray(self.scale)

        def apply(intensity: Intensity) -> Intensity:
            scaled: Intensity = ((intensity - mean) / scale).astype(np.float32)
            return scaled

        return BoundStep(axis, apply)
