"""Simulated Raman spectra of minerals and random substances: their bands, instruments and detectors with errors."""

from __future__ import annotations

from specnet.datasets.simulation.configuration import SimulationConfig
from specnet.datasets.simulation.generate import simulate
from specnet.datasets.simulation.minerals import Mineral, Peak, load_minerals, minerals_path
from specnet.datasets.simulation.presets import PRESETS
from specnet.datasets.simulation.procedural import ProceduralConfig
from specnet.datasets.simulation.regions import peak_regions

__all__ = [
    "PRESETS",
    "Mineral",
    "Peak",
    "ProceduralConfig",
    "SimulationConfig",
    "load_minerals",
    "minerals_path",
    "peak_regions",
    "simulate",
]
