"""What is simulated: named substances in families, each with its bands."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from specnet.datasets.bands import SubstanceBands
from specnet.datasets.simulation.configuration import SimulationConfig
from specnet.datasets.simulation.minerals import Mineral, load_minerals, minerals_path
from specnet.datasets.simulation.peaks import Bands
from specnet.datasets.simulation.procedural import draw_bands, family_of
from specnet.errors import ConfigurationError

SUBSTANCES_STREAM = 4
"""Which child of the seed random substances are drawn from; the four before it are for everything else."""


@dataclass(frozen=True)
class Substances:
    """The classes of a simulated data set.

    Attributes
    ----------
    kind
        What they are, in the plural.
    names, families
        Of each substance.
    bands
        Undisturbed bands, one row per substance.
    provenance
        Where they come from, for the file.
    """

    kind: str
    names: tuple[str, ...]
    families: tuple[str, ...]
    bands: Bands
    provenance: Mapping[str, str]

    def __len__(self) -> int:
        return len(self.names)

    def known_bands(self) -> SubstanceBands:
        """List the true bands one after another, heights relative to the strongest of the substance."""
        label, column = np.nonzero(self.bands.height)
        strongest = self.bands.height.max(axis=1)
        return SubstanceBands(
            label=label,
            position=np.asarray(self.bands.position[label, column], dtype=np.float64),
            height=np.asarray(self.bands.height[label, column] / strongest[label], dtype=np.float64),
            width=np.asarray(self.bands.lorentzian[label, column], dtype=np.float64),
        )


def make_substances(config: SimulationConfig) -> Substances:
    """Take published minerals, or draw random substances where the configuration has some.

    Raises
    ------
    ConfigurationError
        When the table has too few minerals or one of them has no band on the axis.
    DatasetError
        When the table of minerals cannot be read.
    """
    return _published(config) if config.substances is None else _random(config)


def choose_minerals(minerals: tuple[Mineral, ...], config: SimulationConfig) -> tuple[Mineral, ...]:
    """Take ``config.n_classes`` minerals evenly from the table and check that each has a band on the axis."""
    wanted = config.n_classes or len(minerals)
    if wanted > len(minerals):
        raise ConfigurationError(f"the table has {len(minerals)} minerals, n_classes asks for {wanted}")
    chosen = tuple(minerals[index] for index in np.linspace(0, len(minerals) - 1, wanted).round().astype(int))
    low, high = config.axis_range
    for mineral in chosen:
        if not any(low < peak.position < high for peak in mineral.peaks):
            raise ConfigurationError(f"{mineral.name} has no band between {low:g} and {high:g} 1/cm")
    return chosen


def _published(config: SimulationConfig) -> Substances:
    minerals = choose_minerals(load_minerals(), config)
    return Substances(
        "minerals",
        tuple(mineral.name for mineral in minerals),
        tuple(mineral.family for mineral in minerals),
        Bands.of_minerals(minerals),
        {"minerals_sha256": hashlib.sha256(minerals_path().read_bytes()).hexdigest()},
    )


def _random(config: SimulationConfig) -> Substances:
    assert config.substances is not None
    assert config.n_classes is not None
    seed = np.random.SeedSequence(config.seed, spawn_key=(SUBSTANCES_STREAM,))
    bands = draw_bands(config.n_classes, config.axis_range, config.substances, np.random.default_rng(seed))
    family = family_of(config.n_classes, config.substances.siblings)
    families = tuple(f"f{number:04d}" for number in family)
    names = tuple(f"{name}-{row % config.substances.siblings + 1}" for row, name in enumerate(families))
    return Substances("random substances", names, families, bands, {})
