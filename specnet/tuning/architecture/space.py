"""Shapes of the network that a search may choose, and the file in which it says what it chose.

The number of stages, their residual units and their widths say where exits stand: there is one at the end of every
stage, so fewer units put it earlier.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np

from specnet.errors import ConfigurationError, ModelError
from specnet.files import read_bounded, write_json
from specnet.nn.config import MAX_CHANNELS, MAX_UNITS, SHORT_AXIS

C = TypeVar("C")
FORMAT = "specnet-architecture"
FORMAT_VERSION = 1
MAX_FILE_BYTES = 4 << 20
FEWEST_POSITIONS = 4
"""Positions that the last stage has at least."""


@dataclass(frozen=True)
class Architecture:
    """Shape of a network, apart from axis and classes.

    Parameters
    ----------
    widths, units
        Channels and residual units of each stage, whose end is an exit.
    block
        Name of the unit in the block registry.
    stem_channels, head_bins, head_channels
        See `specnet.nn.NetworkConfig`.
    """

    widths: tuple[int, ...]
    units: tuple[int, ...]
    block: str
    stem_channels: int
    head_bins: int
    head_channels: int

    def __post_init__(self) -> None:
        for name in ("widths", "units"):
            object.__setattr__(self, name, tuple(int(value) for value in getattr(self, name)))
        if len(self.widths) != len(self.units) or not self.widths:
            raise ModelError(f"every stage has a width and a number of units, got {self.widths} and {self.units}")
        if not all(1 <= width <= MAX_CHANNELS for width in self.widths):
            raise ModelError(f"widths are from 1 to {MAX_CHANNELS}, got {self.widths}")
        if not all(0 <= units <= MAX_UNITS for units in self.units):
            raise ModelError(f"units are from 0 to {MAX_UNITS}, got {self.units}")

    @property
    def n_stages(self) -> int:
        """Number of stages K."""
        return len(self.widths)

    @property
    def training_options(self) -> dict[str, Any]:
        """Fields of `specnet.training.TrainConfig` that build it on top of a preset."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def to_dict(self) -> dict[str, Any]:
        """Plain form for JSON."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Self:
        """Inverse of `to_dict`; `ModelError` for fields that are unknown, missing or of the wrong kind."""
        try:
            return cls(**plain)
        except (TypeError, ValueError) as error:
            raise ModelError(f"no architecture: {error}; it has {', '.join(f.name for f in fields(cls))}") from error


@dataclass(frozen=True)
class SearchSpace:
    """What a search may choose from.

    Parameters
    ----------
    stages
        Numbers of stages.
    widths
        Channels that each stage may have, one tuple a stage, as many stages as there can be.
    units
        Numbers of residual units of a stage.
    blocks, stem_channels, head_bins, head_channels
        Choices of each.
    """

    stages: tuple[int, ...]
    widths: tuple[tuple[int, ...], ...]
    units: tuple[int, ...]
    blocks: tuple[str, ...]
    stem_channels: tuple[int, ...]
    head_bins: tuple[int, ...]
    head_channels: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(tuple(choices) for choices in self.widths))
        for field in fields(self):
            choices = tuple(getattr(self, field.name))
            object.__setattr__(self, field.name, choices)
            if not choices or (len(set(choices)) < len(choices) and field.name != "widths"):
                raise ConfigurationError(f"{field.name} of a search space are {choices}, expected distinct choices")
        if not 1 <= min(self.stages) <= max(self.stages) == len(self.widths):
            raise ConfigurationError(
                f"the space has widths for {len(self.widths)} stages, expected {max(self.stages)}, the most of "
                f"{self.stages}"
            )

    @classmethod
    def for_axis(cls, n_points: int) -> Self:
        """Space around the presets `nano` to `small` for a number of points after preprocessing.

        Raises
        ------
        ConfigurationError
            When the axis is too short for a stage.
        """
        last, most = (n_points - 1) // (1 if n_points < SHORT_AXIS else 2) + 1, 0
        while most < 5 and (last := (last + 1) // 2) >= FEWEST_POSITIONS:
            most += 1
        if not most:
            raise ConfigurationError(f"{n_points} points are too few for a stage that halves them")
        widths = ((8, 12, 16, 24), (12, 16, 24, 32), (16, 24, 32, 48), (24, 32, 48, 64), (32, 48, 64, 96))
        return cls(
            stages=tuple(range(min(2, most), most + 1)),
            widths=widths[:most],
            units=(0, 1, 2, 3),
            blocks=("depthwise", "plain", "ghost"),
            stem_channels=(8, 12, 16),
            head_bins=(8, 16, 32),
            head_channels=(8, 12, 16, 24),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain form for JSON."""
        return asdict(self)

    def __contains__(self, architecture: Architecture) -> bool:
        return (
            architecture.n_stages in self.stages
            and all(width in choices for width, choices in zip(architecture.widths, self.widths, strict=False))
            and all(units in self.units for units in architecture.units)
            and architecture.block in self.blocks
            and architecture.stem_channels in self.stem_channels
            and architecture.head_bins in self.head_bins
            and architecture.head_channels in self.head_channels
        )

    def sample(self, rng: np.random.Generator) -> Architecture:
        """Draw one, uniformly: first the number of stages, then every choice on its own."""
        n_stages = _one(rng, self.stages)
        return Architecture(
            widths=tuple(_one(rng, choices) for choices in self.widths[:n_stages]),
            units=tuple(_one(rng, self.units) for _ in range(n_stages)),
            block=_one(rng, self.blocks),
            stem_channels=_one(rng, self.stem_channels),
            head_bins=_one(rng, self.head_bins),
            head_channels=_one(rng, self.head_channels),
        )

    def mutate(self, parent: Architecture, rng: np.random.Generator, rate: float = 0.2) -> Architecture:
        """Draw every choice anew with probability `rate`; a stage that is new is drawn, one too many is left out."""
        fresh = self.sample(rng)
        n_stages = fresh.n_stages if rng.random() < rate else parent.n_stages
        # a parent with fewer stages is continued by stages that are drawn
        longer = replace(
            parent,
            widths=(*parent.widths, *(_one(rng, choices) for choices in self.widths[parent.n_stages :])),
            units=(*parent.units, *(_one(rng, self.units) for _ in self.widths[parent.n_stages :])),
        )
        return Architecture(
            widths=tuple(
                _one(rng, choices) if rng.random() < rate else width
                for width, choices in zip(longer.widths[:n_stages], self.widths, strict=False)
            ),
            units=tuple(_one(rng, self.units) if rng.random() < rate else units for units in longer.units[:n_stages]),
            **{name: getattr(fresh if rng.random() < rate else parent, name) for name in WHOLE},
        )

    def cross(self, mother: Architecture, father: Architecture, rng: np.random.Generator) -> Architecture:
        """Take every choice from one of two parents; the number of stages with those of the one that gives it."""
        first, second = (mother, father) if rng.random() < 0.5 else (father, mother)
        stages = [first if k >= second.n_stages or rng.random() < 0.5 else second for k in range(first.n_stages)]
        return Architecture(
            widths=tuple(parent.widths[k] for k, parent in enumerate(stages)),
            units=tuple(parent.units[k] for k, parent in enumerate(stages)),
            **{name: getattr(mother if rng.random() < 0.5 else father, name) for name in WHOLE},
        )


WHOLE = ("block", "stem_channels", "head_bins", "head_channels")
"""Choices that all stages share."""


def write_architecture(path: Path | str, architecture: Architecture, found: dict[str, Any]) -> Path:
    """Write what a search chose, with what it saw of it, for ``specnet train --architecture``."""
    document = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "architecture": architecture.to_dict(),
        "found": found,
    }
    return write_json(path, document)


def read_architecture(path: Path) -> Architecture:
    """Read the file that `write_architecture` wrote.

    Raises
    ------
    ModelError
        When it is missing, too large, damaged, of another kind or of a newer release.
    """
    try:
        document = json.loads(read_bounded(path, MAX_FILE_BYTES, "architecture", ModelError))
    except ValueError as error:
        raise ModelError(f"architecture {path} is no JSON: {error}") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ModelError(f"{path} is no architecture: its format is not {FORMAT!r}")
    if document.get("format_version") != FORMAT_VERSION:
        raise ModelError(
            f"architecture {path} has format version {document.get('format_version')}, expected {FORMAT_VERSION}"
        )
    plain = document.get("architecture")
    if not isinstance(plain, dict):
        raise ModelError(f"architecture {path} has no field architecture")
    return Architecture.from_dict(plain)


def _one(rng: np.random.Generator, choices: tuple[C, ...]) -> C:
    return choices[int(rng.integers(len(choices)))]
