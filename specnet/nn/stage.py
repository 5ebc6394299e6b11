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

SMOOTH = 5
"""Positions over which halting scores are averaged, so that active positions form runs and not scattered points."""


@dataclass(frozen=True)
class Gating:
    """How gates behave in a forward pass.

    Parameters
    ----------
    dense
        All positions at full depth (warm-up, and the static network).
    noise
        Scale of the logistic noise on halting scores during training; 0 for none.
    """

    dense: bool = False
    noise: float = 0.0


HARD = Gating()
DENSE = Gating(dense=True)


@dataclass(frozen=True)
class StageOutput:
    """Features ``(B, C, 1, P)``, depth ``(B, P)`` and the differentiable share of open gates ``(B, U, P)``."""

    features: Float[Tensor, "batch channels 1 positions"]
    depth: Int[Tensor, "batch positions"]
    gates: Float[Tensor, "batch units positions"]


class Halting(nn.Module):
    r"""Scores ``(B, U, P)`` at the stage's entry; a position halts before the first unit whose score is not positive.

    .. math:: g_u = \mathrm{smooth}_5(w_u^\top x + b_u), \quad a_u = \prod_{j \le u} [g_j > 0]

    SACT (Figurnov et al. 2017) scores a position again before each unit; here all scores are read from the stage's
    entry, which tells the whole depth map before any unit runs: rows can be gathered once, and the gates cost one
    thin matrix product. The gradient passes the step straight through a sigmoid (Bengio et al. 2013).
    """

    def __init__(self, channels: int, units: int) -> None:
        super().__init__()
        self.score = nn.Conv2d(channels, units, 1)
        assert self.score.bias is not None
        nn.init.zeros_(self.score.weight)
        nn.init.constant_(self.score.bias, 1.0)

    def forward(
        self, x: Float[Tensor, "batch channels 1 positions"], noise: float
    ) -> Float[Tensor, "batch units positions"]:
        """Cumulative open gates: 1 where the unit runs, 0 where the position has halted."""
        scores = self.score(x).squeeze(2)
        if noise > 0 and self.training:
            uniform = torch.rand_like(scores).clamp(1e-6, 1 - 1e-6)
            scores = scores + noise * (uniform.log() - (1 - uniform).log())
        scores = functional.avg_pool1d(scores, SMOOTH, stride=1, padding=SMOOTH // 2, count_include_pad=False)
        soft = torch.sigmoid(scores)
        hard = (scores > 0).to(scores.dtype)
        return torch.cumprod(hard + soft - soft.detach(), dim=1)


class PositionAdaptiveStage(nn.Module):
    """A strided unit that always runs, then residual units that run where a position has not halted.

    The strided unit joins neighbouring positions in pairs: a matrix product in channels-last arithmetic.
    """

    def __init__(
        self, in_channels: int, channels: int, units: int, *, block: str, expansion: int, kernel: int, adaptive: bool
    ) -> None:
        super().__init__()
        self.merge = nn.Conv2d(in_channels, channels, (1, 2), stride=(1, 2), bias=False)
        self.merge_norm = nn.BatchNorm2d(channels)
        self.halting = Halting(channels, units) if adaptive and units else None
        self.units = nn.ModuleList([create_block(block, channels, expansion, kernel) for _ in range(units)])

    def unit(self, index: int) -> Block:
        """Residual unit 0..U-1."""
        unit = self.units[index]
        assert isinstance(unit, Block)
        return unit

    @property
    def unit_macs(self) -> int:
        """Multiply-accumulates of one residual unit at one position; all units of a stage are alike."""
        return self.unit(0).macs if len(self.units) else 0

    def forward(self, x: Float[Tensor, "batch in_channels 1 in_positions"], gating: Gating) -> StageOutput:
        """Run the stage; halted positions carry their features on unchanged."""
        if x.shape[-1] % 2:
            x = functional.pad(x, (0, 1))
        x = torch.relu(self.merge_norm(self.merge(x)))
        batch, _, _, positions = x.shape
        if self.halting is None or gating.dense:
            gates = x.new_ones(batch, len(self.units), positions)
            for unit in self.units:
                x = x + unit(x)
        else:
            gates = self.halting(x, gating.noise)
            for index, unit in enumerate(self.units):
                x = x + gates[:, index, None, None] * unit(x)
        depth = gates.detach().round().sum(dim=1).to(torch.int64)
        return StageOutput(x, depth, gates)
