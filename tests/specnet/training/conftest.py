"""Smaller spectra and a shorter recipe than elsewhere: the tests of this folder train many times."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from specnet.datasets import write_spectra
from specnet.datasets.simulation import PRESETS, simulate

CLASSES = 6
POINTS = 200
SPECTRA_PER_CLASS = 20


@pytest.fixture(scope="session")
def small_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 simulated Raman spectra of 6 minerals on 200 points, with a grouped split."""
    config = replace(PRESETS["easy"], n_classes=CLASSES, n_points=POINTS, spectra_per_class=SPECTRA_PER_CLASS)
    return write_spectra(tmp_path_factory.mktemp("data") / "minerals.h5", simulate(config))
