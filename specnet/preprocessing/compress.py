from __future__ import annotations

import numpy as np

from specnet.preprocessing.median import row_medians
from specnet.preprocessing.step import BoundStep, Intensity, Step, register_step, require_positive
from specnet.spectra import SpectralAxis

LEAST = 1e-30


@register_step
class Compress(Step, frozen=True, kw_only=True, tag="compress"):
    r"""Compress the range of intensities: linear near zero, logarithmic above a level of each spectrum.

    .. math:: y = \operatorname{arsinh}(x / (s \cdot \mathrm{median}\,|x|))

    A strong band whose height depends on the grain's orientation, or a cosmic ray, then no longer outweighs twenty weak
    ones; unlike a logarithm it bears the negative values that removing a baseline leaves. Variance-stabilising
    transformations of counts are of this form (Anscombe 1948; Huber et al. 2002 for intensities).

    Parameters
    ----------
    level
        Where the logarithmic part begins, in medians of the spectrum's absolute intensity.

    Raises
    ------
    ConfigurationError
        When `level` is not positive or above 1000.
    """

    level: float = 1.0

    def __post_init__(self) -> None:
        """Validate."""
        require_positive(self, "level", 1000.0)

    def bind(self, axis: SpectralAxis) -> BoundStep:
        """Nothing depends on the axis."""
        level = self.level

        def apply(intensity: Intensity) -> Intensity:
            magnitude = np.abs(intensity)
            typical = row_medians(magnitude)
            if not typical.all():
                # after a baseline more than half of the points may be exactly zero
                typical = np.where(typical > 0, typical, magnitude.mean(axis=1, keepdims=True))
            compressed: Intensity = np.arcsinh(intensity / np.maximum(level * typical, LEAST)).astype(np.float32)
            return compressed

        return BoundStep(axis, apply)
