"""Exit heads that keep the spectral axis, and the linear exit 0.

Global average pooling throws peak positions away, which costs tens of points at early exits on spectra; these heads
keep a few bins along the axis.

Legend: B batch, C channels, P positions, K classes.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from specnet.errors import ModelError
from specnet.nn.config import NO_RELAY, NetworkConfig
from specnet.nn.relays import Relay, create_relay
from specnet.registry import Registry


class ExitHead(nn.Module):
    """Logits from the features of a stage. Subclasses take ``(config, channels, positions)``."""

    classify: nn.Linear
    dropout: nn.Dropout
    relay: Relay | None
    """What it takes over from the exit before; `create_head` sets it."""

    def forward(self, x: Float[Tensor, "batch channels 1 positions"]) -> Float[Tensor, "batch classes"]:
        """Logits."""
        return self.judge(self.embed(x))

    def embed(self, x: Float[Tensor, "batch channels 1 positions"]) -> Float[Tensor, "batch features"]:
        """Give what the head's classifier looks at."""
        raise NotImplementedError

    def judge(self, embedding: Float[Tensor, "batch features"]) -> Float[Tensor, "batch classes"]:
        """Logits of what `embed` gave."""
        logits: Tensor = self.classify(self.dropout(embedding))
        return logits

    def answer(
        self, embedding: Float[Tensor, "batch features"], received: Float[Tensor, "batch handed"] | None
    ) -> tuple[Float[Tensor, "batch classes"], Float[Tensor, "batch handed"] | None]:
        """Logits of what `embed` gave and of what the exit before left, and what is left to the next one."""
        logits = self.judge(embedding)
        return (logits, None) if self.relay is None else self.relay(embedding, logits, received)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one spectrum."""
        raise NotImplementedError

    @property
    def relay_macs(self) -> int:
        """Multiply-accumulates of the relay."""
        return 0 if self.relay is None else self.relay.macs

    @property
    def joined_inputs(self) -> dict[str, tuple[int, ...]]:
        """Channels of the features that a weight reads one behind the other, as in `specnet.nn.Block`."""
        return {}


HEADS: Registry[type[ExitHead]] = Registry("exit head", ModelError)
register_head = HEADS.register


def create_head(config: NetworkConfig, channels: int, positions: int, *, index: int = 1) -> ExitHead:
    """Build the registered head that the configuration names, with its relay.

    Parameters
    ----------
    config
        Of the network.
    channels, positions
        Of the features that the head sees.
    index
        Exit 1..K that it is; the first one receives nothing from a relay.

    Raises
    ------
    ModelError
        When head or relay is unknown.
    """
    head = HEADS.find(config.head)(config, channels, positions)
    head.relay = None
    if config.relay != NO_RELAY:
        head.relay = create_relay(config, index, head.classify.in_features)
    return head


@register_head("binned")
class BinnedHead(ExitHead):
    """Maximum in each of a few bins, fewer channels in each bin, then a linear classifier over bins and channels."""

    def __init__(self, config: NetworkConfig, channels: int, positions: int) -> None:
        super().__init__()
        self.window = self.window_for(config, positions)
        self.bins = -(-positions // self.window)
        self.reduce = nn.Conv2d(channels, min(channels, config.head_channels), 1)
        self.dropout = nn.Dropout(config.dropout)
        self.classify = nn.Linear(self.bins * self.reduce.out_channels, config.n_classes)

    def window_for(self, config: NetworkConfig, positions: int) -> int:
        """Positions in a bin, so that there are at most `head_bins`."""
        return max(1, -(-positions // config.head_bins))

    def embed(self, x: Float[Tensor, "batch channels 1 positions"]) -> Float[Tensor, "batch features"]:
        """Reduced channels of every bin."""
        pooled = functional.max_pool2d(x, (1, self.window), ceil_mode=True)
        return torch.relu(self.reduce(pooled)).flatten(1)

    @property
    def macs(self) -> int:
        """Reduction at every bin and the classifier."""
        return self.bins * self.reduce.in_channels * self.reduce.out_channels + self.classify.weight.numel()


@register_head("full")
class FullHead(BinnedHead):
    """Every position is a bin of its own: for short axes, where pooling blurs what tells the classes apart.

    Its classifier grows with the axis: ``P * head_channels`` weights a class.
    """

    def window_for(self, config: NetworkConfig, positions: int) -> int:
        """One position."""
        return 1


@register_head("pooled")
class PooledHead(ExitHead):
    """Maximum and mean over the whole axis, then a linear classifier: the usual exit on images, to compare with."""

    def __init__(self, config: NetworkConfig, channels: int, positions: int) -> None:
        super().__init__()
        self.positions = positions
        self.dropout = nn.Dropout(config.dropout)
        self.classify = nn.Linear(2 * channels, config.n_classes)

    def embed(self, x: Float[Tensor, "batch channels 1 positions"]) -> Float[Tensor, "batch features"]:
        """Maximum and mean of every channel."""
        return torch.cat([x.amax(dim=(2, 3)), x.mean(dim=(2, 3))], dim=1)

    @property
    def macs(self) -> int:
        """The classifier, and the additions of the means."""
        return self.classify.weight.numel() + self.positions * self.classify.in_features // 2

    @property
    def joined_inputs(self) -> dict[str, tuple[int, ...]]:
        """Maxima, then means."""
        return {"classify.weight": (self.classify.in_features // 2,) * 2}


class LinearExit(nn.Module):
    """Exit 0: a linear classifier on the binned, standardised spectrum, fitted apart from the network.

    On many sets of spectra a linear model is as good as the first network exits at a hundredth of their cost. It is
    fitted by `specnet.training.linear`, never by gradient steps of the network. Standardisation is folded into weight
    and bias.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.bin = config.linear_bin
        self.n_bins = config.n_points // self.bin
        self.register_buffer("weight", torch.zeros(config.n_classes, self.n_bins))
        self.register_buffer("bias", torch.zeros(config.n_classes))

    def pool(self, x: Float[Tensor, "batch 1 points"]) -> Float[Tensor, "batch bins"]:
        """Means over consecutive points; points beyond the last full bin are left out."""
        return functional.avg_pool1d(x, self.bin).flatten(1)

    def forward(self, x: Float[Tensor, "batch 1 points"]) -> Float[Tensor, "batch classes"]:
        """Logits."""
        return functional.linear(self.pool(x), self.weight, self.bias)

    @property
    def macs(self) -> int:
        """One multiply for each weight, and the additions of the means."""
        return self.weight.numel() + self.n_bins * self.bin
