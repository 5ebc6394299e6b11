"""Spectra for a simulated board where no recording is at hand."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from specnet.errors import ConfigurationError
from specnet.spectra import MAX_POINTS

MAX_GENERATED = 100_000
BASELINE, NOISE = 800.0, 15.0
PEAKS = 6


def generate_spectra(n: int, n_points: int, seed: int = 0) -> NDArray[np.uint32]:
    """Make counts ``(n, n_points)`` with Gaussian peaks on a baseline and noise; highest points reach about 40,000.

    Raises
    ------
    ConfigurationError
        When a number is out of range.
    """
    if not 1 <= n <= MAX_GENERATED or not 2 <= n_points <= MAX_POINTS or n * n_points > 1 << 27:
        raise ConfigurationError(
            f"1 to {MAX_GENERATED} spectra of 2 to {MAX_POINTS} points can be generated, got {n} of {n_points}"
        )
    generator = np.random.default_rng(seed)
    pixels = np.linspace(0.0, 1.0, n_points)
    centres, widths = generator.uniform(0.05, 0.95, PEAKS), generator.uniform(0.005, 0.03, PEAKS)
    shapes = np.exp(-0.5 * ((pixels - centres[:, None]) / widths[:, None]) ** 2)
    heights = generator.uniform(2_000, 15_000, (n, PEAKS))
    clean = BASELINE + heights @ shapes
    noisy = np.rint(np.maximum(clean + NOISE * generator.standard_normal(clean.shape), 0))
    counts: NDArray[np.uint32] = noisy.astype(np.uint32)
    return counts
