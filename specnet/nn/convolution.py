"""Convolution with batch norm and ReLU: what the baseline networks are made of."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


class ConvNorm(nn.Module):
    """Convolution along the axis (odd taps, same padding), batch norm, and ReLU unless `activate` is False."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, *, stride: int = 1, activate: bool = True
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, out_channels, (1, kernel), stride=(1, stride), padding=(0, kernel // 2), bias=False
        )
        self.norm = nn.BatchNorm2d(out_channels)
        self.stride, self.activate = stride, activate

    def forward(
        self, x: Float[Tensor, "batch in_channels 1 in_positions"]
    ) -> Float[Tensor, "batch out_channels 1 positions"]:
        """Filter, normalise, activate."""
        normed: Tensor = self.norm(self.conv(x))
        return functional.relu(normed) if self.activate else normed

    def positions(self, entering: int) -> int:
        """Positions after the layer, of so many in front of it."""
        return (entering - 1) // self.stride + 1

    def macs(self, entering: int) -> int:
        """Multiply-accumulates of one spectrum with so many positions in front of the layer."""
        return self.conv.weight.numel() * self.positions(entering)
