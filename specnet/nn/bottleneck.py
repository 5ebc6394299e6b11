"""A bottleneck at a split point: features become a few small integers, and features again on the other side.

The encoder is linear, one product over patches of positions, because it runs on the device; the decoder looks at
neighbouring patches and has a hidden layer, because the gateway has time. Every latent number has a gain and a mean of
its own, since spectra have their peaks at known places: what the task does not need gets a small gain, always rounds to
zero and costs nothing.

Legend: B batch, P positions, C channels, r positions of a patch, Q = ceil(P / r) patches, c latent channels, H hidden.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from specnet.codec.learned import NEIGHBOURS
from specnet.errors import ModelError

LOG2 = 0.6931471805599453
_SMALLEST_MASS = 1e-9
MOMENTUM = 0.05


@dataclass(frozen=True)
class BottleneckConfig:
    """Shape of a bottleneck.

    Parameters
    ----------
    positions, channels
        P and C of the features at the split point.
    patch
        Positions r that are encoded together.
    latent
        Numbers c that a patch becomes.
    bits
        2 to 8: a latent number is rounded to whole numbers of at most ``2 ** (bits - 1) - 1`` either side of zero.
    hidden
        Width H of the decoder.
    """

    positions: int
    channels: int
    patch: int = 16
    latent: int = 8
    bits: int = 5
    hidden: int = 96

    def __post_init__(self) -> None:
        highest = {"positions": 65_536, "channels": 4096, "patch": 1024, "latent": 256, "hidden": 4096}
        for name, most in highest.items():
            if not 1 <= getattr(self, name) <= most:
                raise ModelError(f"{name} of a bottleneck is {getattr(self, name)}, expected 1 to {most}")
        if not 2 <= self.bits <= 8:
            raise ModelError(f"bits of a bottleneck are {self.bits}, expected 2 to 8")

    @property
    def patches(self) -> int:
        """Number of patches Q; the last one is filled up with zeros."""
        return -(-self.positions // self.patch)

    @property
    def levels(self) -> int:
        """Largest whole number either side of zero."""
        return (1 << (self.bits - 1)) - 1

    @property
    def encoder_macs(self) -> int:
        """Multiply-accumulates of the encoder."""
        return self.patches * (self.patch * self.channels + 1) * self.latent

    def to_dict(self) -> dict[str, Any]:
        """Plain form for JSON."""
        return asdict(self)


class Bottleneck(nn.Module):
    """Encoder, prior and decoder of one split point (bottleneck injection with a factorised prior).

    Training follows Balle et al. 2017, "End-to-end optimized image compression" (eq. 11 and section 3.2): rounding is
    replaced by uniform noise where the rate is read, and passed straight through where the decoder reads. The prior of
    each latent number is a logistic distribution with a mean and a scale of its own.

    Parameters
    ----------
    config
        Its shape.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, config: BottleneckConfig) -> None:
        super().__init__()
        self.config = config
        width, latent = config.patch * config.channels, (config.patches, config.latent)
        self.register_buffer("mean", torch.zeros(config.positions, config.channels))
        self.register_buffer("deviation", torch.ones(config.channels))
        self.analyse = nn.Linear(width, config.latent, bias=False)
        self.log_gain = nn.Parameter(torch.full(latent, 0.7))
        self.prior_mean = nn.Parameter(torch.zeros(latent))
        self.prior_log_scale = nn.Parameter(torch.zeros(latent))
        self.spread = nn.Parameter(torch.full(latent, 0.5))
        self.hidden = nn.Linear(NEIGHBOURS * config.latent, config.hidden)
        self.place = nn.Parameter(torch.zeros(config.patches, config.hidden))
        self.synthesise = nn.Linear(config.hidden, width)

    @torch.no_grad()
    def normalise(self, features: Float[Tensor, "n positions channels"]) -> None:
        """Take means and deviations of training features, so that the encoder sees what differs between spectra."""
        self.mean.copy_(features.mean(dim=0))
        self.deviation.copy_((features - self.mean).std(dim=(0, 1)).clamp_min(1e-3))
        # principal directions of the patches are the linear encoder that keeps most
        patches = self._patches((features - self.mean) / self.deviation).flatten(0, 1)
        _, _, directions = torch.pca_lowrank(patches[:20_000], q=min(self.config.latent, *patches.shape))
        self.analyse.weight[: directions.shape[1]] = directions.T

    @torch.no_grad()
    def track(self, features: Float[Tensor, "batch positions channels"]) -> None:
        """Follow the means and deviations of features that still change, as batch norm does."""
        mean = features.mean(dim=0)
        self.mean.lerp_(mean, MOMENTUM)
        self.deviation.lerp_((features - mean).std(dim=(0, 1)).clamp_min(1e-3), MOMENTUM)

    def latent(self, features: Float[Tensor, "batch positions channels"]) -> Float[Tensor, "batch patches latent"]:
        """Give the numbers that are to be rounded."""
        patches = self._patches((features - self.mean) / self.deviation)
        latent: Tensor = self.analyse(patches) * torch.exp(self.log_gain) - self.prior_mean
        return latent

    def symbols(self, features: Float[Tensor, "batch positions channels"]) -> Float[Tensor, "batch patches latent"]:
        """Whole numbers that are sent."""
        return self._bounded(torch.round(self.latent(features)))

    def restore(self, symbols: Float[Tensor, "batch patches latent"]) -> Float[Tensor, "batch positions channels"]:
        """Features out of what was received."""
        config = self.config
        padded = functional.pad(symbols * self.spread, (0, 0, 1, 1))
        near = torch.cat([padded[:, i : i + config.patches] for i in range(NEIGHBOURS)], dim=2)
        hidden = torch.relu(self.hidden(near) + self.place)
        patches = self.synthesise(hidden).reshape(len(symbols), -1, config.channels)[:, : config.positions]
        restored: Tensor = patches * self.deviation + self.mean
        return restored

    def forward(
        self,
        features: Float[Tensor, "batch positions channels"],
        sent: Float[Tensor, "batch patches"] | None = None,
    ) -> tuple[Float[Tensor, "batch positions channels"], Float[Tensor, " batch"]]:
        """Features as the gateway gets them, and the bits that they take, both with gradients.

        `sent` is 0 for patches that are not sent, None when all are.
        """
        latent = self.latent(features)
        bits = self._bits(self._bounded(latent) + torch.rand_like(latent) - 0.5)
        rounded = latent + (self._bounded(torch.round(latent)) - latent).detach()
        if sent is not None:
            bits, rounded = bits * sent[:, :, None], rounded * sent[:, :, None]
        return self.restore(rounded), bits.sum(dim=(1, 2))

    def _bits(self, noisy: Tensor) -> Tensor:
        scale = torch.exp(self.prior_log_scale).clamp_min(0.05)
        # where both ends are on one side of zero the difference of sigmoids is taken in the tail that keeps its digits
        centred = -noisy.abs()
        mass = torch.sigmoid((centred + 0.5) / scale) - torch.sigmoid((centred - 0.5) / scale)
        return -torch.log(mass.clamp_min(_SMALLEST_MASS)) / LOG2

    def _bounded(self, values: Tensor) -> Tensor:
        return values.clamp(-self.config.levels, self.config.levels)

    def _patches(self, features: Tensor) -> Tensor:
        config = self.config
        missing = config.patches * config.patch - config.positions
        padded = functional.pad(features, (0, 0, 0, missing))
        return padded.reshape(len(features), config.patches, config.patch * config.channels)
