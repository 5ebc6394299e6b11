"""Spectra with bands at known places, in parts as a split would make them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from specnet.baselines import Part
from specnet.spectra import Quantity, SpectralAxis

N_POINTS = 120


@pytest.fixture
def axis() -> SpectralAxis:
    return SpectralAxis(np.linspace(400, 1590, N_POINTS), Quantity.RAMAN_SHIFT)


@pytest.fixture
def make_part() -> Callable[..., Part]:
    """Maker of parts: each class has a band of its own on a slope that tells nothing."""

    def make(seed: int, n_classes: int = 4, per_class: int = 12, noise: float = 0.05) -> Part:
        generator = np.random.default_rng(seed)
        labels = np.repeat(np.arange(n_classes), per_class)
        points = np.arange(N_POINTS)
        bands = np.exp(-0.5 * ((points - 20 - 22 * np.arange(n_classes)[:, np.newaxis]) / 3) ** 2)
        slope = generator.uniform(0.5, 3, (len(labels), 1)) * points / N_POINTS
        intensity = 5 + bands[labels] + slope + noise * generator.standard_normal((len(labels), N_POINTS))
        return Part(intensity.astype(np.float32), labels)

    return make
