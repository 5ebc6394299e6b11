"""Taps between a stage, its exit head and the next stage, and their registry.

A tap shapes gradients only. It leaves every value as it is, is left out at evaluation, and costs nothing there.

Legend: B batch, C channels, P positions, K stages.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from specnet.errors import ModelError
from specnet.nn.config import NetworkConfig
from specnet.registry import Registry


class Tap:
    """What passes from stage `index` (1..K) to its head and to the next stage; this one passes everything on."""

    def __init__(self, config: NetworkConfig, index: int) -> None:
        self.config, self.index = config, index

    def __call__(self, x: Float[Tensor, "batch channels 1 positions"]) -> tuple[Tensor, Tensor]:
        """Features for the head, and features for the next stage: both equal to `x`."""
        return x, x


TAPS: Registry[type[Tap]] = Registry("tap", ModelError)
register_tap = TAPS.register


def create_tap(config: NetworkConfig, index: int) -> Tap:
    """Build the registered tap that the configuration names; `ModelError` for an unknown one."""
    return TAPS.find(config.tap)(config, index)


register_tap("identity")(Tap)


@register_tap("channel_split")
class ChannelSplit(Tap):
    """The next stage's gradient reaches a share of the channels only; the head's reaches all.

    Deep Feature Surgery (Gong et al. 2024, "feature partitioning"): the remaining channels belong to the head alone,
    so that the exits' gradients conflict less. The share that the exits have in common is `tap_share`.
    """

    def __call__(self, x: Float[Tensor, "batch channels 1 positions"]) -> tuple[Tensor, Tensor]:
        """Features for the head; for the next stage, the last channels detached."""
        common = round(self.config.tap_share * x.shape[1])
        return x, torch.cat([x[:, :common], x[:, common:].detach()], dim=1)


@register_tap("gradient_rescale")
class GradientRescale(Tap):
    r"""Stages get the mean of the gradients of the exits behind them instead of their sum; heads keep theirs.

    .. math:: \partial L / \partial x_i = \frac{1}{K - i} \sum_{j \ge i} \partial L_j / \partial x_i
        \text{ for stage } i = 0 \ldots K - 1

    Gradient equilibrium of IMTA (Li et al. 2019, section 3.1), as BoostNet uses it.
    """

    def __call__(self, x: Float[Tensor, "batch channels 1 positions"]) -> tuple[Tensor, Tensor]:
        """Features for the head and for the next stage, with scaled gradients."""
        behind = self.config.n_stages - self.index + 1
        x = _scale_gradient(x, 1.0 / behind)
        return x, _scale_gradient(x, behind - 1.0)


class _ScaledGradient(torch.autograd.Function):
    """Identity forwards; backwards a factor. Arithmetic with `detach` would round the values."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0] * ctx.factor, None


def _scale_gradient(x: Tensor, factor: float) -> Tensor:
    scaled: Tensor = _ScaledGradient.apply(x, factor)  # type: ignore[no-untyped-call]
    return scaled
