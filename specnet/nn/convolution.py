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
        self.conv = nn.Conv2d(
            in_channels, out_channels, (1, kernel), stride=(1, stride), padding=(0, kernel // 2), bias=False
        )
        self.norm = nn.BatchNorm2d(out_channels)
        self.stride, self.activate = stride, activate

    def forward(
        self, x: Float[Tensor, "batch in_channels 1 in_positions"]
    ) -> Float[Tensor, "batch out_channels 1 positions"]:
        """Filter, normalise, activate."""
        normed: Tensor = self.norm(self._filter(x))
        return functional.relu(normed) if self.activate else normed

    def _filter(self, x: Tensor) -> Tensor:
        if self.conv.kernel_size != (1, 1) or self.stride == 1:
            filtered: Tensor = self.conv(x)
            return filtered
        # The same numbers. Kernels for strided pointwise layers of fewer than 8 channels write beyond their memory on
        # processors with AVX2 and without AVX-512 (PyTorch 2.13, channels last): trainings died in `free`.
        kept = x[..., :: self.stride].contiguous(memory_format=torch.channels_last)
        return functional.conv2d(kept, self.conv.weight)

    def positions(self, entering: int) -> int:
        """Positions after the layer, of so many in front of it."""
        return (entering - 1) // self.stride + 1

    def macs(self, entering: int) -> int:
        """Multiply-accumulates of one spectrum with so many positions in front of the layer."""
        return self.conv.weight.numel() * self.positions(entering)
