"""The ghost unit: half of the features come from operations that cost next to nothing."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from specnet.nn.blocks.block import Block, last_norm, pointwise_conv, register_block, window_conv


@register_block("ghost")
class Ghost(Block):
    r"""Two ghost modules in a row: primary features by a matrix product, ghost features by cheap filters.

    .. math:: a = \mathrm{ReLU}(W_1 x), \quad g = \mathrm{ReLU}(d * x), \quad
        f(x) = [\,W_2 [a, g],\; s \odot g_{1..C/2}\,] \text{ with batch norm after each layer}

    After C-Ghost (Han et al. 2020, "GhostNet", fig. 3 and eq. 4, ratio 2). There the ghost features are filtered from
    the primary ones at neighbouring positions; here the depthwise filter d reads the block's *input*, so that halted
    neighbours need not be computed, and the cheap half of the second module has one tap, a scale a channel. With
    `expansion` 2 the hidden layer is half primary, half ghost; a larger one adds primary features.
    """

    def __init__(self, channels: int, expansion: int, kernel: int) -> None:
        super().__init__()
        self.channels, self.kernel = channels, kernel
        primary = max(1, expansion - 1) * channels
        self.copied = channels // 2
        self.expand = pointwise_conv(channels, primary)
        self.norm1 = nn.BatchNorm2d(primary)
        self.depthwise = window_conv(channels, kernel, groups=channels)
        self.norm2 = nn.BatchNorm2d(channels)
        self.project = pointwise_conv(primary + channels, channels - self.copied)
        self.norm3 = last_norm(channels - self.copied)
        # a batch norm is a scale and an offset a channel: the cheap half needs no weight of its own
        self.norm4 = last_norm(self.copied) if self.copied else None

    def forward(self, x: Float[Tensor, "batch channels 1 positions"]) -> Float[Tensor, "batch channels 1 positions"]:
        """Branch at every position."""
        primary = torch.relu(self.norm1(self.expand(x)))
        ghosts = torch.relu(self.norm2(self.depthwise(x)))
        branch: Tensor = self.norm3(self.project(torch.cat([primary, ghosts], dim=1)))
        if self.norm4 is None:
            return branch
        return torch.cat([branch, self.norm4(ghosts[:, : self.copied])], dim=1)

    @property
    def macs(self) -> int:
        """``C A + k C + ceil(C/2) (A + C) + floor(C/2)``, A primary channels; the last term scales the copied ones."""
        layers = (self.expand, self.depthwise, self.project)
        return sum(layer.weight.numel() for layer in layers) + self.copied

    @property
    def joined_inputs(self) -> dict[str, tuple[int, ...]]:
        """Primary and ghost features enter the second module."""
        return {"project.weight": (self.expand.out_channels, self.channels)}
