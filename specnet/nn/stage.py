"""The position-adaptive stage: every position of the spectral axis gets its own depth.

Legend: B batch, C channels, P positions of the stage, U residual units.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from specnet.nn.blocks import Block, create_block
from specnet.nn.halting import create_halting


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


class PositionAdaptiveStage(nn.Module):
    """A strided unit and open units, which always run, then residual units that run where a position has not halted.

    The strided unit joins neighbouring positions in pairs: a matrix product in channels-last arithmetic. Halting
    scores are read behind it, in front of the open units: those too were once under them.
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
        super().__init__()
        self.merge = nn.Conv2d(in_channels, channels, (1, 2), stride=(1, 2), bias=False)
        self.merge_norm = nn.BatchNorm2d(channels)
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
        if x.shape[-1] % 2:
            x = functional.pad(x, (0, 1))
        entry = x = torch.relu(self.merge_norm(self.merge(x)))
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
