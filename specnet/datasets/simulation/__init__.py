"""Simulated Raman spectra of minerals: published bands, an instrument and a detector with their errors."""

from __future__ import annotations

from specnet.datasets.simulation.configuration import PRESETS, SimulationConfig
from specnet.datasets.simulation.generate import simulate
from specnet.datasets.simulation.minerals import Mineral, Peak, load_minerals, minerals_path

__all__ = ["PRESETS", "Mineral", "Peak", "SimulationConfig", "load_minerals", "minerals_path", "simulate"]
