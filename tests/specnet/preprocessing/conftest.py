from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from specnet.spectra import SpectralAxis


@pytest.fixture
def axis() -> SpectralAxis:
    return SpectralAxis(np.linspace(200.0, 1800.0, 401), "raman_shift")


@pytest.fixture
def spectra(axis: SpectralAxis) -> NDArray[np.float32]:
    """Seven spectra of counts: Gaussian bands on a fluorescence background, with shot noise."""
    generator = np.random.default_rng(7)
    x = axis.values
    clean = 300 + 2000 * np.exp(-(((x - 900) / 800) ** 2)) * generator.uniform(0.5, 2, (7, 1))
    for _ in range(5):
        centre, width = generator.uniform(300, 1700, (7, 1)), generator.uniform(15, 40, (7, 1))
        clean = clean + generator.uniform(200, 3000, (7, 1)) * np.exp(-(((x - centre) / width) ** 2))
    return generator.poisson(clean).astype(np.float32)
