"""How one piece of a mineral differs from another: composition, disorder and orientation change its bands."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from specnet.datasets.simulation.peaks import Bands


@dataclass(frozen=True)
class Variation:
    """Spread of the properties of a sample.

    Attributes
    ----------
    shift_cm
        Standard deviation of the displacement common to all bands of a sample (solid solution, strain), 1/cm; each
        band moves on its own by another third of it.
    width_spread
        Standard deviation of the logarithm of the width.
    disorder_cm
        Largest Gaussian FWHM that disorder adds, 1/cm.
    orientation
        Standard deviation of the logarithm of a band's height from one orientation of the grains to another.
    """

    shift_cm: float
    width_spread: float
    disorder_cm: float
    orientation: float


def vary_samples(bands: Bands, variation: Variation, rng: np.random.Generator) -> Bands:
    """Draw the bands of physical samples, one row each: positions and widths differ, heights do not."""
    n, most = bands.position.shape
    common = rng.normal(0.0, variation.shift_cm, (n, 1))
    own = rng.normal(0.0, variation.shift_cm / 3.0, (n, most))
    stretch = np.exp(rng.normal(0.0, variation.width_spread, (n, 1)))
    disorder = rng.uniform(0.0, variation.disorder_cm, (n, 1))
    return replace(
        bands,
        position=bands.position + common + own,
        lorentzian=bands.lorentzian * stretch,
        gaussian=np.hypot(bands.gaussian, disorder),
    )


def orient(bands: Bands, variation: Variation, rng: np.random.Generator) -> Bands:
    """Draw one orientation per row: heights change by log-normal factors, independently per band.

    Raman intensity depends on the angle between the crystal and the polarisation through the band's Raman tensor
    (Loudon R. (1964) Adv. Phys. 13, 423-482, doi:10.1080/00018736400101051); a log-normal factor stands for the
    tensors.
    """
    factors: NDArray[np.float64] = np.exp(rng.normal(0.0, variation.orientation, bands.height.shape))
    return replace(bands, height=bands.height * factors)
