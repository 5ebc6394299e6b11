"""Stages and their registry; the position-adaptive one, where every position of the axis gets its own depth.

Legend: B batch, C channels, P positions of the stage, U residual units.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from specnet.errors import ModelError
from specnet.nn.blocks import Block, create_block
from specnet.nn.config import NetworkConfig
from specnet.nn.halting import Halting, create_halting
from specnet.registry import Registry


@dataclass(frozen=True)
class Gating:
    """How gates behave in a forward pass.

    Parameters
    ----------
    dense
        All positions at full depth (warm-up, and the static network).
    noise
        Scale of the logistic noise on the scores of hard gates during training; 0 for none.
    """

    dense: bool = False
    noise: float = 0.0


HARD = Gating()
DENSE = Gating(dense=True)


@dataclass(frozen=True)
class StageOutput:
    """Features ``(B, C, 1, P)``, depth ``(B, P)`` and gates ``(B, U, P)``.

    Depth counts the units that run at a position, open ones not included: those whose gate is above 0. Gates are
    differentiable, for the losses: 0 or 1, or a mass in between (see `specnet.nn.halting`).
    """

    features: Float[Tensor, "batch channels 1 positions"]
    depth: Int[Tensor, "batch positions"]
    gates: Float[Tensor, "batch units positions"]


class Stage(nn.Module):
    """A strided unit, which joins neighbouring positions in pairs, and residual units behind it.

    Subclasses take the arguments of `create_stage`. The strided unit is a matrix product in channels-last arithmetic.
    An exit may stand behind a stage, never within it.
    """

    halting: Halting | None
    unit_macs: int
    """MACs of one residual unit at one position, where units may be skipped; 0 where they always run."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.merge = nn.Conv2d(in_channels, channels, (1, 2), stride=(1, 2), bias=False)
        self.merge_norm = nn.BatchNorm2d(channels)

    def forward(self, x: Float[Tensor, "batch in_channels 1 in_positions"], gating: Gating) -> StageOutput:
        """Run the stage."""
        raise NotImplementedError

    def join(self, x: Float[Tensor, "batch in_channels 1 in_positions"]) -> Float[Tensor, "batch channels 1 positions"]:
        """Run the strided unit; an odd position is paired with zeros."""
        if x.shape[-1] % 2:
            x = functional.pad(x, (0, 1))
        return torch.relu(self.merge_norm(self.merge(x)))

    def fixed_macs(self, positions: int) -> int:
        """MACs that every spectrum costs at so many positions."""
        raise NotImplementedError


STAGES: Registry[Callable[..., Stage]] = Registry("stage", ModelError)
register_stage = STAGES.register


def create_stage(config: NetworkConfig, index: int) -> Stage:
    """Build stage `index`, 1..K, of the registered kind that the configuration names.

    Raises
    ------
    ModelError
        When the kind is unknown, or cannot be what else the configuration says.
    """
    channels = (config.stem_channels, *config.widths)
    return STAGES.find(config.stage)(
        channels[index - 1],
        channels[index],
        config.units[index - 1],
        block=config.block,
        expansion=config.expansion,
        kernel=config.kernel,
        adaptivity=config.adaptivity,
        open_units=config.open_units[index - 1],
    )


@register_stage("residual")
class PositionAdaptiveStage(Stage):
    """A strided unit and open units, which always run, then residual units that run where a position has not halted.

    Halting scores are read behind the strided unit, in front of the open units: those too were once under them.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        units: int,
        *,
        block: str,
        expansion: int,
        kernel: int,
        adaptivity: str,
        open_units: int = 0,
    ) -> None:
        super().__init__(in_channels, channels)
        self.halting = create_halting(adaptivity, channels, units)
        self.open_units = nn.ModuleList([create_block(block, channels, expansion, kernel) for _ in range(open_units)])
        self.units = nn.ModuleList([create_block(block, channels, expansion, kernel) for _ in range(units)])
        with torch.device("meta"):  # without memory, and without a draw from the generator of initial weights
            self.unit_macs = create_block(block, channels, expansion, kernel).macs

    def open_unit(self, index: int) -> Block:
        """Residual unit that runs everywhere, counted from 0."""
        unit = self.open_units[index]
        assert isinstance(unit, Block)
        return unit

    def unit(self, index: int) -> Block:
        """Residual unit 0..U-1."""
        unit = self.units[index]
        assert isinstance(unit, Block)
        return unit

    def forward(self, x: Float[Tensor, "batch in_channels 1 in_positions"], gating: Gating) -> StageOutput:
        """Run the stage; halted positions carry their features on unchanged."""
        entry = x = self.join(x)
        batch, _, _, positions = x.shape
        for unit in self.open_units:
            x = x + unit(x)
        if self.halting is None or gating.dense:
            gates = x.new_ones(batch, len(self.units), positions)
            for unit in self.units:
                x = x + unit(x)
        else:
            gates = self.halting(entry, gating.noise)
            for index, unit in enumerate(self.units):
                x = x + gates[:, index, None, None] * unit(x)
        depth = (gates.detach() > 0).sum(dim=1)
        return StageOutput(x, depth, gates)

    def fixed_macs(self, positions: int) -> int:
        """MACs of strided and open units and of halting scores."""
        always = self.merge.weight.numel() + len(self.open_units) * self.unit_macs
        return positions * always + (0 if self.halting is None else self.halting.macs(positions))
