from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from specnet.datasets import Instrument, SpectraTable
from specnet.spectra import Quantity, SpectralAxis


@pytest.fixture
def make_table() -> Callable[..., SpectraTable]:
    """Table of 3 classes with 4 spectra per sample; fields can be replaced."""

    def make(n: int = 120, n_points: int = 50, **fields: Any) -> SpectraTable:
        random = np.random.default_rng(7)
        sample = np.arange(n) // 4
        whole: dict[str, Any] = {
            "intensity": random.integers(0, 60_000, (n, n_points)).astype(np.uint16),
            "axis": SpectralAxis(np.linspace(200.0, 1500.0, n_points), Quantity.RAMAN_SHIFT),
            "labels": sample % 3,
            "class_names": ("calcite", "dolomite", "Hämatit α"),
            "columns": {
                "sample_id": np.array([f"RRUFF R{number:05}" for number in sample]),
                "session_id": np.arange(n) % 2,
                "laser_nm": np.full(n, 785.0),
                "processed": np.arange(n) % 2 == 0,
            },
            "title": "Carbonates",
            "experiment_type": "Raman",
            "instrument": Instrument("bench", "mark 2", "S-1", 785.0),
            "provenance": {"license": "CC0-1.0", "doi": "10.1000/182"},
        }
        return SpectraTable(**(whole | fields))

    return make
