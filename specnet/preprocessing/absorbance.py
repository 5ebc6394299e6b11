from __future__ import annotations

import numpy as np

from specnet.preprocessing.step import BoundStep, Intensity, Step, register_step, require_positive
from specnet.spectra import SpectralAxis


@register_step
class Absorbance(Step, frozen=True, kw_only=True, tag="absorbance"):
    """Apparent absorbance ``-log10(R)`` of reflectance or transmittance, in which concentrations are nearly linear.

    Parameters
    ----------
    floor
        Smallest reflectance that is told from darkness; lower values are raised to it.

    Raises
    ------
    ConfigurationError
        When `floor` is not positive or above 1.
    """

    floor: float = 1e-4

    def __post_init__(self) -> None:
        """Validate."""
        require_positive(self, "floor", 1.0)

    def bind(self, axis: SpectralAxis) -> BoundStep:
        """Nothing depends on the axis."""
        floor = np.float32(self.floor)

        def apply(intensity: Intensity) -> Intensity:
            absorbance: Intensity = -np.log10(np.maximum(intensity, floor))
            return absorbance

        return BoundStep(axis, apply)
