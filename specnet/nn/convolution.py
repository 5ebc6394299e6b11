"""Convolution with batch norm and ReLU: what the baseline networks are made of."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


class ConvNorm(nn.Module):
    """Convolution along the axis (odd taps, same padding), batch norm, and ReLU unless `activate` is False."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, *, stride: int = 1, activate: bool = True
    ) -> None:
        super().__init__()
        # Pointwise layers get every stride-th position instead of a stride, which is the same. PyTorch's kernels (2.13,
        # channels last) for strided ones of fewer than 8 channels write beyond their memory on processors that have
        # AVX2 and no AVX-512: trainings died in `free`.
        self._step = stride if kernel == 1 else 1
        self.conv = nn.Conv2d(
            in_channels,
            out_channels,
            (1, kernel),
            stride=(1, stride // self._step),
            padding=(0, kernel // 2),
            bias=False,
        )
        self.norm = nn.BatchNorm2d(out_channels)
        self.stride, self.activate = stride, activate

    def forward(
        self, x: Float[Tensor, "batch in_channels 1 in_positions"]
    ) -> Float[Tensor, "batch out_channels 1 positions"]:
        """Filter, normalise, activate."""
        if self._step > 1:
            x = x[..., :: self._step].contiguous(memory_format=torch.channels_last)
        normed: Tensor = self.norm(self.conv(x))
        return functional.relu(normed) if self.activate else normed

    def positions(self, entering: int) -> int:
        """Positions after the layer, of so many in front of it."""
        return (entering - 1) // self.stride + 1

    def macs(self, entering: int) -> int:
        """Multiply-accumulates of one spectrum with so many positions in front of the layer."""
        return self.conv.weight.numel() * self.positions(entering)
