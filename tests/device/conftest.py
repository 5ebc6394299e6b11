"""The model and the spectra of the device's tests: a small network trained on simulated minerals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from specnet.bundle import Bundle, read_bundle

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture(scope="session")
def tiny_bundle() -> Path:
    """Path of the bundle."""
    return FIXTURES / "tiny.specnet"


@pytest.fixture(scope="session")
def tiny_spectra() -> Path:
    """Path of spectra on the bundle's source axis."""
    return FIXTURES / "tiny.npz"


@pytest.fixture(scope="session")
def bundle(tiny_bundle: Path) -> Bundle:
    return read_bundle(tiny_bundle)


@pytest.fixture(scope="session")
def intensity(tiny_spectra: Path) -> NDArray[np.uint16]:
    with np.load(tiny_spectra, allow_pickle=False) as arrays:
        return arrays["intensity"]
