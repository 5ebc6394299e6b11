"""A multi-scale dense network along the spectral axis: the standard early-exit baseline.

Legend: B batch, L points, S scales (0 the finest), t steps, C channels, P positions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from specnet.errors import ModelError
from specnet.nn.baseline_config import MAX_CHANNELS, BaselineConfig
from specnet.nn.config import SHORT_AXIS
from specnet.nn.convolution import ConvNorm
from specnet.nn.network import HARD, ExitOutputs, Gating

Features = list[Tensor]
"""Dense features of each scale, fine to coarse: ``(B, C_s, 1, P_s)``."""


@dataclass(frozen=True)
class MSDNet1dConfig(BaselineConfig):
    """Multi-scale dense network.

    Parameters
    ----------
    n_points, n_classes
        Length L of a spectrum on the model's axis, and number of classes.
    exits
        Number of exits E, each a classifier on the coarsest scale.
    base, step
        Layers up to the first exit, and from each exit to the next.
    scales
        Scales S; each has half the positions of the one before.
    channels, growth
        Channels of the first layer and of each further one at the finest scale; the next scale has twice as many.
    kernel, stem_kernel
        Taps of the layers and of the first convolution (odd).
    stem_stride
        Stride of the first convolution; 0 keeps every point of a short axis and half of a long one's, as our presets.
    bottleneck
        A layer's pointwise convolution first brings the dense features down to this many times its own channels.
    head_channels
        Channels of the two convolutions in front of a classifier.
    """

    exits: int = 4
    base: int = 3
    step: int = 2
    scales: int = 3
    channels: int = 6
    growth: int = 4
    kernel: int = 3
    stem_kernel: int = 9
    stem_stride: int = 0
    bottleneck: int = 2
    head_channels: int = 8

    kind: ClassVar[str] = "msdnet1d"
    highest: ClassVar[dict[str, int]] = {
        "exits": 64,
        "base": 64,
        "step": 64,
        "scales": 8,
        "channels": MAX_CHANNELS,
        "growth": MAX_CHANNELS,
        "kernel": 1023,
        "stem_kernel": 1023,
        "stem_stride": 64,
        "bottleneck": 64,
        "head_channels": MAX_CHANNELS,
    }

    def __post_init__(self) -> None:
        if self.stem_stride == 0:
            object.__setattr__(self, "stem_stride", 1 if self.n_points < SHORT_AXIS else 2)
        super().__post_init__()

    @property
    def positions(self) -> tuple[int, ...]:
        """Positions of each scale."""
        positions = [(self.n_points - 1) // self.stem_stride + 1]
        for _ in range(self.scales - 1):
            positions.append((positions[-1] + 1) // 2)
        return tuple(positions)

    @property
    def steps(self) -> tuple[int, ...]:
        """Layers of the coarsest scale up to each exit."""
        return tuple(self.base + self.step * k for k in range(self.exits))

    def dense_channels(self, scale: int, layers: int) -> int:
        """Channels of a scale's dense features once so many layers have run there."""
        return (self.channels + self.growth * layers) << scale


class DenseLayer(nn.Module):
    """New features of one scale, joined to those it has: half from the finer scale, half from its own."""

    normal: nn.Sequential
    down: nn.Sequential | None

    def __init__(self, config: MSDNet1dConfig, scale: int, layers: int) -> None:
        super().__init__()
        own, finer = config.dense_channels(scale, layers), config.dense_channels(scale - 1, layers) if scale else 0
        growth = config.growth << scale
        parts = growth // 2 if scale else growth
        self.normal = _bottlenecked(own, parts, config, stride=1)
        self.down = _bottlenecked(finer, parts, config, stride=2) if scale else None

    def forward(
        self, own: Float[Tensor, "batch channels 1 positions"], finer: Tensor | None
    ) -> Float[Tensor, "batch more_channels 1 positions"]:
        """Dense features of the scale with this layer's; `finer` those of the scale above, None at the finest."""
        parts = [own]
        if self.down is not None:
            parts.append(self.down(finer))
        return torch.cat([*parts, self.normal(own)], dim=1)

    def macs(self, own: int, finer: int) -> int:
        """Multiply-accumulates with so many positions at the own and the finer scale."""
        return _macs(self.normal, own) + (0 if self.down is None else _macs(self.down, finer))


class DenseHead(nn.Module):
    """Classifier of an exit: two strided convolutions, the mean of pairs of positions, one linear layer.

    On an image this leaves one position, on a spectrum an eighth of the coarsest scale's: the classifier knows where
    peaks are.
    """

    reduce: nn.Sequential

    def __init__(self, config: MSDNet1dConfig, channels: int) -> None:
        super().__init__()
        width, positions = config.head_channels, config.positions[-1]
        self.reduce = nn.Sequential(
            ConvNorm(channels, width, config.kernel, stride=2), ConvNorm(width, width, config.kernel, stride=2)
        )
        for layer in convolutions(self.reduce):
            positions = layer.positions(positions)
        self.pool = min(2, positions)
        self.classify = nn.Linear(positions // self.pool * width, config.n_classes)

    def forward(self, x: Float[Tensor, "batch channels 1 positions"]) -> Float[Tensor, "batch classes"]:
        """Logits."""
        pooled = functional.avg_pool2d(self.reduce(x), (1, self.pool))
        logits: Tensor = self.classify(pooled.flatten(1))
        return logits

    def macs(self, entering: int) -> int:
        """Multiply-accumulates with so many positions at the coarsest scale."""
        return _macs(self.reduce, entering) + self.classify.weight.numel()


class MSDNet1d(nn.Module):
    """Multi-scale dense network after Huang et al. 2018 ("Multi-scale dense networks", ICLR), along one axis.

    Every layer sees all earlier features of its scale and of the next finer one, so that coarse features for the early
    exits do not harm what later ones need. All exits are trained together. The paper's lazy evaluation is built in: in
    step t scale s computes its layer t - (S - 1 - s), the last that an exit after t steps can see, so nothing is
    computed that the exit does not use. The paper's other saving, dropping fine scales in later blocks, is left out.

    Parameters
    ----------
    config
        What to build.
    """

    exit0 = None

    def __init__(self, config: MSDNet1dConfig) -> None:
        super().__init__()
        self.config = config
        first = [ConvNorm(1, config.channels, config.stem_kernel, stride=config.stem_stride)]
        for scale in range(1, config.scales):
            channels = config.channels << (scale - 1)
            first.append(ConvNorm(channels, 2 * channels, config.kernel, stride=2))
        self.first = nn.ModuleList(first)
        self.steps = nn.ModuleList(
            nn.ModuleDict(
                {
                    str(scale): DenseLayer(config, scale, layer - 1)
                    for scale in range(config.scales)
                    if (layer := step - (config.scales - 1 - scale)) >= 1
                }
            )
            for step in range(1, config.steps[-1] + 1)
        )
        coarsest = config.scales - 1
        self.heads = nn.ModuleList(
            DenseHead(config, config.dense_channels(coarsest, layers)) for layers in config.steps
        )
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def n_exits(self) -> int:
        """Number of exits E."""
        return self.config.exits

    def first_layers(self) -> list[ConvNorm]:
        """First layer of each scale, fine to coarse; each reads the one before."""
        return convolutions(self.first)

    def layers(self, exit_index: int) -> list[tuple[int, DenseLayer]]:
        """Scale and layer, in the order in which they run, between the exit before and this one."""
        config = self.config
        begin = config.steps[exit_index - 1] if exit_index else 0
        layers = []
        for step in self.steps[begin : config.steps[exit_index]]:
            assert isinstance(step, nn.ModuleDict)
            for scale, layer in step.items():
                assert isinstance(layer, DenseLayer)
                layers.append((int(scale), layer))
        return layers

    def head(self, exit_index: int) -> DenseHead:
        """Classifier of an exit."""
        head = self.heads[exit_index]
        assert isinstance(head, DenseHead)
        return head

    def forward(self, x: Float[Tensor, "batch 1 points"], gating: Gating = HARD) -> ExitOutputs:
        """All exits of preprocessed spectra; nothing halts, so `gating` changes nothing."""
        if x.shape[-1] != self.config.n_points:
            raise ModelError(f"got {x.shape[-1]} points, expected {self.config.n_points}")
        features = self.run_first(x)
        logits = []
        for index in range(self.n_exits):
            exit_logits, features = self.run_exit(index, features)
            logits.append(exit_logits)
        return ExitOutputs(logits, [], [])

    def run_first(self, x: Float[Tensor, "batch 1 points"]) -> Features:
        """First features of every scale."""
        features: Features = [x.unsqueeze(2).contiguous(memory_format=torch.channels_last)]
        for layer in self.first:
            features.append(layer(features[-1]))
        return features[1:]

    def run_exit(self, exit_index: int, features: Features) -> tuple[Tensor, Features]:
        """Logits of an exit and features for the next, from those of the exit before."""
        features = list(features)
        for scale, layer in self.layers(exit_index):
            features[scale] = layer(features[scale], features[scale - 1] if scale else None)
        return self.head(exit_index)(features[-1]), features

    def fixed_macs(self) -> list[int]:
        """MACs of each segment, its classifier included."""
        positions = self.config.positions
        macs = []
        for index in range(self.n_exits):
            own = sum(layer.macs(positions[s], positions[s - 1] if s else 0) for s, layer in self.layers(index))
            macs.append(own + self.head(index).macs(positions[-1]))
        entering = (self.config.n_points, *positions)
        macs[0] += sum(layer.macs(before) for layer, before in zip(self.first_layers(), entering, strict=False))
        return macs

    def unit_macs(self) -> list[int]:
        """Empty: no stage has units that halt."""
        return []

    def static_macs(self) -> int:
        """MACs of a spectrum up to the last exit, every exit."""
        return sum(self.fixed_macs())


def convolutions(layers: nn.Sequential | nn.ModuleList) -> list[ConvNorm]:
    """Layers of a chain that has only convolutions."""
    chain = []
    for layer in layers:
        assert isinstance(layer, ConvNorm)
        chain.append(layer)
    return chain


def _bottlenecked(in_channels: int, out_channels: int, config: MSDNet1dConfig, *, stride: int) -> nn.Sequential:
    narrow = min(in_channels, config.bottleneck * out_channels)
    return nn.Sequential(ConvNorm(in_channels, narrow, 1), ConvNorm(narrow, out_channels, config.kernel, stride=stride))


def _macs(layers: nn.Sequential, entering: int) -> int:
    total = 0
    for layer in convolutions(layers):
        total += layer.macs(entering)
        entering = layer.positions(entering)
    return total
