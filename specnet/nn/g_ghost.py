"""The G-Ghost stage: what deep units of a stage would add to half of the channels is taken from its first unit.

Legend: B batch, C channels, P positions of the stage, U residual units, m cheap channels.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from specnet.errors import ModelError
from specnet.nn.blocks import Block, create_block, pointwise_conv
from specnet.nn.halting import NONE
from specnet.nn.stage import Gating, Stage, StageOutput, register_stage


@register_stage("g_ghost")
class GGhostStage(Stage):
    r"""Only first and last unit have all channels; those between run on half, and the rest is cheap.

    .. math:: y_1 = \mathrm{merge}(x), \quad t_1 = y_1[:C - m], \quad t_{u+1} = t_u + f_u(t_u),

        g = \mathrm{ReLU}(W y_1 + W_2 \mathrm{ReLU}(W_1 \overline{[y_1, t_2, \ldots, t_U]})), \quad
        y = [t_U, g] + f_U([t_U, g])

    with the mean over positions under the bar, m = C / 2 and batch norm behind each W. After G-Ghost (Han et al. 2022,
    "GhostNets on heterogeneous devices", section 4: intrinsic features by thin blocks, ghost features by a cheap
    operation on the first block's output with the *mix* of all of them). Block 1 of the paper is the strided unit here.
    The mix needs all positions, so none of them can halt alone, and no exit can stand within the stage.

    With fewer than two units there is nothing to be thin, and the stage is an ordinary one.
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
        if adaptivity != NONE or open_units:
            raise ModelError(
                "stage 'g_ghost' mixes all positions, so none can halt alone: expected adaptivity 'none' and no open "
                f"units, got {adaptivity!r} and {open_units}"
            )
        self.halting, self.n_units, self.unit_macs = None, units, 0
        thin = max(0, units - 1)
        self.cheap_channels = channels // 2 if thin else 0
        self.thin_channels = channels - self.cheap_channels
        self.thin_units = nn.ModuleList(
            [create_block(block, self.thin_channels, expansion, kernel) for _ in range(thin)]
        )
        if self.cheap_channels:
            cheap, mixed = self.cheap_channels, channels + thin * self.thin_channels
            self.cheap = pointwise_conv(channels, cheap)
            self.cheap_norm = nn.BatchNorm2d(cheap)
            self.mix_in = pointwise_conv(mixed, cheap)
            self.mix_in_norm = nn.BatchNorm2d(cheap)
            self.mix_out = pointwise_conv(cheap, cheap)
            self.mix_out_norm = nn.BatchNorm2d(cheap)
        self.last_units = nn.ModuleList([create_block(block, channels, expansion, kernel)] if units else [])

    def thin_unit(self, index: int) -> Block:
        """Thin unit 0..U-2."""
        unit = self.thin_units[index]
        assert isinstance(unit, Block)
        return unit

    def last_unit(self) -> Block | None:
        """Last unit, with all channels; None when there are no units."""
        for unit in self.last_units:
            assert isinstance(unit, Block)
            return unit
        return None

    def forward(self, x: Float[Tensor, "batch in_channels 1 in_positions"], gating: Gating) -> StageOutput:
        """Run the stage; nothing halts, so `gating` changes nothing."""
        x = self.join(x)
        if self.cheap_channels:
            entry, x = x, x[:, : self.thin_channels]
            seen = [entry]
            for unit in self.thin_units:
                x = x + unit(x)
                seen.append(x)
            mixed = torch.relu(self.mix_in_norm(self.mix_in(torch.cat(seen, dim=1).mean(dim=3, keepdim=True))))
            cheap = self.cheap_norm(self.cheap(entry)) + self.mix_out_norm(self.mix_out(mixed))
            x = torch.cat([x, torch.relu(cheap)], dim=1)
        for unit in self.last_units:
            x = x + unit(x)
        gates = x.new_ones(x.shape[0], self.n_units, x.shape[-1])
        return StageOutput(x, gates.sum(dim=1).to(torch.int64), gates)

    def fixed_macs(self, positions: int) -> int:
        """MACs of everything, the additions of the mix's means included."""
        units = [unit for units in (self.thin_units, self.last_units) for unit in units if isinstance(unit, Block)]
        everywhere = self.merge.weight.numel() + sum(unit.macs for unit in units)
        once = 0
        if self.cheap_channels:
            everywhere += self.cheap.weight.numel() + self.mix_in.in_channels
            once = self.mix_in.weight.numel() + self.mix_out.weight.numel()
        return positions * everywhere + once
