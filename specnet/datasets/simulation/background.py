"""What lies under the bands: fluorescence, and derivative-like shapes of reflected light."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

N_HUMPS = 3
N_DISPERSIVE = 2


def fluorescence(axis: NDArray[np.float64], n: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw n fluorescence backgrounds.

    Each is the sum of three Gaussian humps of random weight, centre and width plus a linear slope: emission bands
    of impurities and organic matter are thousands of 1/cm wide, of which the axis shows a part.

    Parameters
    ----------
    axis
        ``(n_points,)`` Raman shift in 1/cm.
    n
        How many.
    rng
        Source of randomness.

    Returns
    -------
    ndarray ``(n, n_points)``
        Positive, with maximum 1 in each row.
    """
    span = float(axis[-1] - axis[0])
    unit = ((axis - axis[0]) / span).astype(np.float32)
    # centres may lie outside of the axis, and no hump is narrower than a third of it: smooth against any Raman band
    centre = rng.uniform(-0.6, 1.6, (n, N_HUMPS, 1)).astype(np.float32)
    width = rng.uniform(0.3, 1.2, (n, N_HUMPS, 1)).astype(np.float32)
    weight = rng.uniform(0.0, 1.0, (n, N_HUMPS, 1)).astype(np.float32)
    background = np.zeros((n, unit.size), dtype=np.float32)
    for hump in range(N_HUMPS):
        background += weight[:, hump] * np.exp(-0.5 * ((unit - centre[:, hump]) / width[:, hump]) ** 2)
    slope = rng.uniform(-0.5, 0.5, (n, 1)).astype(np.float32)
    background += 0.05 + 0.2 * (1.0 + slope * (2.0 * unit - 1.0))
    return np.asarray(background / background.max(axis=1, keepdims=True), dtype=np.float32)


def dispersion(axis: NDArray[np.float64], n: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw n derivative-like factors around 1, as light reflected from a surface has them.

    A resonance with centre c and half width g changes the refractive index by an amount that goes as
    ``g (x - c) / ((x - c)^2 + g^2)`` (the real part of the Lorentz oscillator; Bohren C. F., Huffman D. R. (1983)
    Absorption and Scattering of Light by Small Particles, section 9.1), and the reflectance follows it.

    Parameters
    ----------
    axis
        ``(n_points,)`` in 1/cm.
    n
        How many.
    rng
        Source of randomness.

    Returns
    -------
    ndarray ``(n, n_points)``
        Positive, from 0.4 to 1.6.
    """
    span = float(axis[-1] - axis[0])
    unit = ((axis - axis[0]) / span).astype(np.float32)
    centre = rng.uniform(0.0, 1.0, (n, N_DISPERSIVE, 1)).astype(np.float32)
    width = np.exp(rng.uniform(np.log(0.01), np.log(0.1), (n, N_DISPERSIVE, 1))).astype(np.float32)
    strength = rng.uniform(-0.6, 0.6, (n, N_DISPERSIVE, 1)).astype(np.float32)
    factor = np.ones((n, unit.size), dtype=np.float32)
    for line in range(N_DISPERSIVE):
        distance = unit - centre[:, line]
        # the shape is within one half of zero
        factor += strength[:, line] * width[:, line] * distance / (distance**2 + width[:, line] ** 2)
    return factor
