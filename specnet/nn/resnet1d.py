"""A static residual network of the bacteria-ID kind: one exit, every position, always.

Legend: B batch, L points, C channels, P positions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from specnet.errors import ModelError
from specnet.nn.baseline_config import MAX_CHANNELS, BaselineConfig
from specnet.nn.convolution import ConvNorm
from specnet.nn.network import HARD, ExitOutputs, Gating

PUBLISHED: dict[str, Any] = {"stem_channels": 64, "width": 100}
"""Width of the published network: 392 million multiplications for 1,000 points, 150 times our preset `tiny`."""


@dataclass(frozen=True)
class ResNet1dConfig(BaselineConfig):
    """Static residual network.

    Parameters
    ----------
    n_points, n_classes
        Length L of a spectrum on the model's axis, and number of classes.
    width
        Channels of every residual layer; what compute is set by.
    stem_channels
        Channels of the first convolution.
    layers, blocks
        Residual layers, all but the first of stride 2, and blocks in each.
    kernel
        Taps of every convolution (odd).
    """

    width: int = 16
    stem_channels: int = 12
    layers: int = 6
    blocks: int = 2
    kernel: int = 5

    kind: ClassVar[str] = "resnet1d"
    highest: ClassVar[dict[str, int]] = {
        "width": MAX_CHANNELS,
        "stem_channels": MAX_CHANNELS,
        "layers": 16,
        "blocks": 64,
        "kernel": 1023,
    }


class ResidualBlock(nn.Module):
    """Two convolutions and a shortcut, which is a pointwise convolution where shapes change (He et al. 2016)."""

    def __init__(self, in_channels: int, channels: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.first = ConvNorm(in_channels, channels, kernel, stride=stride)
        self.second = ConvNorm(channels, channels, kernel, activate=False)
        changes = stride != 1 or in_channels != channels
        self.shortcut = ConvNorm(in_channels, channels, 1, stride=stride, activate=False) if changes else None

    def forward(
        self, x: Float[Tensor, "batch in_channels 1 in_positions"]
    ) -> Float[Tensor, "batch channels 1 positions"]:
        """Features after the block."""
        carried: Tensor = x if self.shortcut is None else self.shortcut(x)
        return torch.relu(self.second(self.first(x)) + carried)

    def macs(self, entering: int) -> int:
        """Multiply-accumulates of one spectrum with so many positions in front of the block."""
        shortcut = 0 if self.shortcut is None else self.shortcut.macs(entering)
        return self.first.macs(entering) + self.second.macs(self.first.positions(entering)) + shortcut


class ResNet1d(nn.Module):
    """Static residual network after Ho et al. 2019 (Nat. Commun. 10, 4927; the authors' code, csho33/bacteria-ID).

    A first convolution, six residual layers of two blocks with 5 taps, all but the first halving the positions, then
    one linear classifier over all positions and channels that are left: the published network flattens and does not
    average, and so does this one (averages lose where peaks are). It is as wide as compute allows: with 16 channels at
    equal compute with our preset `small`, with 8 with `tiny`, with `PUBLISHED` as it was.

    Parameters
    ----------
    config
        What to build.
    """

    exit0 = None

    def __init__(self, config: ResNet1dConfig) -> None:
        super().__init__()
        self.config = config
        self.stem = ConvNorm(1, config.stem_channels, config.kernel)
        blocks, channels, positions = [], config.stem_channels, config.n_points
        for layer in range(config.layers):
            for index in range(config.blocks):
                stride = 2 if layer > 0 and index == 0 else 1
                block = ResidualBlock(channels, config.width, config.kernel, stride)
                blocks.append(block)
                channels, positions = config.width, block.first.positions(positions)
        self.blocks = nn.ModuleList(blocks)
        self.classify = nn.Linear(positions * channels, config.n_classes)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def block(self, index: int) -> ResidualBlock:
        """Residual block, from 0."""
        block = self.blocks[index]
        assert isinstance(block, ResidualBlock)
        return block

    @property
    def n_exits(self) -> int:
        """One."""
        return 1

    def forward(self, x: Float[Tensor, "batch 1 points"], gating: Gating = HARD) -> ExitOutputs:
        """Run the only exit on preprocessed spectra; nothing halts, so `gating` changes nothing."""
        if x.shape[-1] != self.config.n_points:
            raise ModelError(f"got {x.shape[-1]} points, expected {self.config.n_points}")
        features = self.stem(x.unsqueeze(2).contiguous(memory_format=torch.channels_last))
        for block in self.blocks:
            features = block(features)
        return ExitOutputs([self.classify(features.flatten(1))], [], [])

    def fixed_macs(self) -> list[int]:
        """MACs of the whole network: its one segment."""
        positions = self.config.n_points
        total = self.stem.macs(positions) + self.classify.weight.numel()
        for index in range(len(self.blocks)):
            block = self.block(index)
            total += block.macs(positions)
            positions = block.first.positions(positions)
        return [total]

    def unit_macs(self) -> list[int]:
        """Empty: no stage has units that halt."""
        return []

    def static_macs(self) -> int:
        """MACs of a spectrum."""
        return self.fixed_macs()[0]
