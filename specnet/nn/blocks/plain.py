"""The plain residual unit."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from specnet.nn.blocks.block import Block, last_norm, pointwise_conv, register_block, window_conv


@register_block("plain")
class Plain(Block):
    r"""Ordinary convolution of k taps, then a pointwise layer.

    .. math:: f(x) = W\,\mathrm{ReLU}(c * x) \text{ with batch norm after each layer}

    The basic unit of residual networks (He et al. 2016, fig. 5) has two convolutions of k taps. The second one would
    need the hidden features of k - 1 neighbours, halted ones among them, so it has one tap here. All k C\ :sup:`2`
    multiplications sit in the first layer, which therefore stays at C channels: `expansion` changes nothing.
    """

    def __init__(self, channels: int, expansion: int, kernel: int) -> None:
        super().__init__()
        self.channels, self.kernel = channels, kernel
        self.filter = window_conv(channels, kernel)
        self.norm1 = nn.BatchNorm2d(channels)
        self.project = pointwise_conv(channels, channels)
        self.norm2 = last_norm(channels)

    def forward(self, x: Float[Tensor, "batch channels 1 positions"]) -> Float[Tensor, "batch channels 1 positions"]:
        """Branch at every position."""
        hidden = torch.relu(self.norm1(self.filter(x)))
        branch: Tensor = self.norm2(self.project(hidden))
        return branch

    @property
    def macs(self) -> int:
        """``(k + 1) C^2``."""
        return self.filter.weight.numel() + self.project.weight.numel()
