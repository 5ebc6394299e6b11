"""The depthwise-separable residual unit."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from specnet.nn.blocks.block import Block, last_norm, pointwise_conv, register_block, window_conv


@register_block("depthwise")
class Depthwise(Block):
    r"""Depthwise convolution, then two pointwise layers.

    .. math:: f(x) = W_2\,\mathrm{ReLU}(W_1\,\mathrm{BN}(d * x)) \text{ with batch norm after each layer}

    A ConvNeXt-like inverted bottleneck (Liu et al. 2022, fig. 4). Rows of channels enter the two matrix products, so
    the rows of halted positions can be left out.
    """

    def __init__(self, channels: int, expansion: int, kernel: int) -> None:
        super().__init__()
        self.channels, self.kernel = channels, kernel
        hidden = expansion * channels
        self.depthwise = window_conv(channels, kernel, groups=channels)
        self.norm1 = nn.BatchNorm2d(channels)
        self.expand = pointwise_conv(channels, hidden)
        self.norm2 = nn.BatchNorm2d(hidden)
        self.project = pointwise_conv(hidden, channels)
        self.norm3 = last_norm(channels)

    def forward(self, x: Float[Tensor, "batch channels 1 positions"]) -> Float[Tensor, "batch channels 1 positions"]:
        """Branch at every position."""
        hidden = torch.relu(self.norm2(self.expand(self.norm1(self.depthwise(x)))))
        branch: Tensor = self.norm3(self.project(hidden))
        return branch

    @property
    def macs(self) -> int:
        """``k C + 2 C H``, H hidden channels."""
        return self.depthwise.weight.numel() + self.expand.weight.numel() + self.project.weight.numel()
