"""Random substances: families of near-identical siblings with many overlapping bands, reproducible from a seed.

Bands come in groups that overlap within and lie apart from each other, as the multiplets of a functional group or of a
lattice do. What makes a sibling another substance is where some of the groups are: a group shifts as a whole when its
surroundings change. Around such a group siblings look alike: only distances between groups, many bands apart, tell.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from specnet.datasets.simulation.limits import check_lowest, check_range
from specnet.datasets.simulation.peaks import Bands

MARGIN = 0.03
"""Bands keep this share of the axis away from its ends, so that an instrument's error leaves them on it."""


@dataclass(frozen=True, kw_only=True)
class ProceduralConfig:
    """How random substances are made.

    Attributes
    ----------
    siblings
        Substances of a family: the first is the family's prototype, the others are variants of it.
    groups
        Range of the number of groups of bands of a substance; they lie at random places in equal parts of the axis.
    group_bands
        Range of the number of bands of a group.
    group_cm
        Range of the distance from a group's first to its last band, 1/cm.
    width_cm
        Range of the bands' FWHM, drawn log-uniformly, 1/cm.
    height
        Range of the bands' heights, drawn log-uniformly; the strongest is then scaled to 1.
    moved_groups
        Range of the number of groups that are elsewhere in a sibling than in the prototype.
    moved_cm
        Range of the distance by which such a group is moved, up or down, 1/cm.
    moved_bands
        Range of the number of bands that are moved on their own as well, by a distance of the same range.
    scaled_bands
        Range of the number of bands that are stronger or weaker in a sibling.
    scaled_by
        Range of the factor; half of these bands become stronger, half weaker.
    extra_share
        Share of siblings that have one more band, a weak one.
    extra_height
        Range of its height.
    broad_share
        Share of families whose bands are as broad as those of near-infrared and infrared spectra.
    broad_by
        Range of the factor by which the bands of such a family are broader, and those of its siblings moved further.

    Raises
    ------
    ConfigurationError
        When a value is out of its range.
    """

    siblings: int = 4
    groups: tuple[int, int] = (5, 8)
    group_bands: tuple[int, int] = (3, 5)
    group_cm: tuple[float, float] = (20.0, 60.0)
    width_cm: tuple[float, float] = (5.0, 30.0)
    height: tuple[float, float] = (0.08, 1.0)
    moved_groups: tuple[int, int] = (1, 3)
    moved_cm: tuple[float, float] = (1.0, 6.0)
    moved_bands: tuple[int, int] = (0, 2)
    scaled_bands: tuple[int, int] = (0, 1)
    scaled_by: tuple[float, float] = (1.1, 1.3)
    extra_share: float = 0.1
    extra_height: tuple[float, float] = (0.05, 0.15)
    broad_share: float = 0.0
    broad_by: tuple[float, float] = (4.0, 10.0)

    def __post_init__(self) -> None:
        check_lowest("siblings", self.siblings, 1)
        ranges: dict[str, tuple[float, float]] = {
            "groups": (1, 64),
            "group_bands": (1, 16),
            "group_cm": (0.0, 1000.0),
            "width_cm": (0.1, 1000.0),
            "height": (1e-3, 1.0),
            "moved_groups": (0, self.groups[0]),
            "moved_cm": (0.0, 500.0),
            "moved_bands": (0, self.groups[0] * self.group_bands[0]),
            "scaled_bands": (0, self.groups[0] * self.group_bands[0]),
            "scaled_by": (1.0, 100.0),
            "extra_height": (1e-3, 1.0),
            "broad_by": (1.0, 100.0),
        }
        for name, (lowest, highest) in ranges.items():
            check_range(name, getattr(self, name), lowest, highest)
        for name in ("extra_share", "broad_share"):
            check_range(name, (getattr(self, name), getattr(self, name)), 0.0, 1.0)

    @property
    def most_bands(self) -> int:
        """Columns that the bands of a substance need: all groups at their largest, and the additional weak band."""
        return self.groups[1] * self.group_bands[1] + 1


def family_of(n_classes: int, siblings: int) -> NDArray[np.intp]:
    """Count families along the substances ``(n_classes,)``: siblings are neighbours, the last family may be smaller."""
    return np.arange(n_classes) // siblings


def draw_bands(
    n_classes: int, axis_range: tuple[float, float], config: ProceduralConfig, rng: np.random.Generator
) -> Bands:
    """Draw the bands of substances, one row each, siblings of a family after one another, its prototype first.

    A sibling keeps the columns of its prototype, so that band j of one is band j of the other. Each group has as many
    columns as the largest could have; the last column is for the additional weak band.

    Parameters
    ----------
    n_classes
        How many substances.
    axis_range
        Where bands may be, 1/cm.
    config
        How they are made.
    rng
        Source of randomness; each family has its own stream, so that more families leave the first ones as they are.
    """
    position, height, width = (np.zeros((n_classes, config.most_bands)) for _ in range(3))
    families = family_of(n_classes, config.siblings)
    for family, stream in enumerate(rng.spawn(int(families[-1]) + 1)):
        rows = np.flatnonzero(families == family)
        broader = stream.uniform(*config.broad_by) if stream.random() < config.broad_share else 1.0
        prototype = _draw_prototype(axis_range, config, broader, stream)
        for row in rows:
            bands = prototype if row == rows[0] else _vary(prototype, axis_range, config, broader, stream)
            position[row], height[row], width[row] = bands
    width[height == 0] = 1.0
    return Bands(position, height, width, np.zeros_like(width))


def _draw_prototype(
    axis_range: tuple[float, float], config: ProceduralConfig, broader: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Positions, heights and widths of a family's first substance, ``(3, most)``; height 0 is no band."""
    bands = np.zeros((3, config.most_bands))
    of_groups = bands[:, :-1].reshape(3, config.groups[1], config.group_bands[1])
    low, high = _inner(axis_range)
    n_groups = int(rng.integers(config.groups[0], config.groups[1] + 1))
    edges = np.linspace(low, high, n_groups + 1)
    for group, (start, stop) in enumerate(pairwise(edges)):
        n = int(rng.integers(config.group_bands[0], config.group_bands[1] + 1))
        extent = min(float(rng.uniform(*config.group_cm)), stop - start)
        first = rng.uniform(start, stop - extent)
        of_groups[0, group, :n] = np.sort(first + extent * rng.random(n))
        of_groups[1, group, :n] = _log_uniform(config.height, n, rng)
        of_groups[2, group, :n] = broader * _log_uniform(config.width_cm, n, rng)
    bands[1] /= bands[1].max()
    return bands


def _vary(
    prototype: NDArray[np.float64],
    axis_range: tuple[float, float],
    config: ProceduralConfig,
    broader: float,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Bands of a sibling, ``(3, most)``."""
    bands = prototype.copy()
    present = np.flatnonzero(bands[1])
    group = np.arange(bands.shape[1]) // config.group_bands[1]
    for moved in _choose(np.unique(group[present]), config.moved_groups, rng):
        bands[0, present[group[present] == moved]] += broader * _signed(config.moved_cm, rng)
    for moved in _choose(present, config.moved_bands, rng):
        bands[0, moved] += broader * _signed(config.moved_cm, rng)
    for scaled in _choose(present, config.scaled_bands, rng):
        bands[1, scaled] *= rng.uniform(*config.scaled_by) ** rng.choice((-1.0, 1.0))
    if rng.random() < config.extra_share:
        bands[:, -1] = (rng.uniform(*_inner(axis_range)), rng.uniform(*config.extra_height), bands[2, present].mean())
    return bands


def _choose(among: NDArray[np.intp], how_many: tuple[int, int], rng: np.random.Generator) -> NDArray[np.intp]:
    return rng.choice(among, int(rng.integers(how_many[0], how_many[1] + 1)), replace=False)


def _signed(limits: tuple[float, float], rng: np.random.Generator) -> float:
    return float(rng.uniform(*limits) * rng.choice((-1.0, 1.0)))


def _inner(axis_range: tuple[float, float]) -> tuple[float, float]:
    margin = MARGIN * (axis_range[1] - axis_range[0])
    return axis_range[0] + margin, axis_range[1] - margin


def _log_uniform(limits: tuple[float, float], n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    return np.asarray(np.exp(rng.uniform(np.log(limits[0]), np.log(limits[1]), n)), dtype=np.float64)
