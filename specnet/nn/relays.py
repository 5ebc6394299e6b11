"""Relays: what an exit takes over from the exits before it besides features, and their registry.

What an exit leaves to those behind travels with the features, as further rows of them, so that segments, codecs and
messages need not know of it.

Legend: B batch, C channels, D numbers that a head's classifier looks at, P positions, S numbers handed on.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from specnet.errors import ModelError
from specnet.nn.config import NO_RELAY, NetworkConfig
from specnet.registry import Registry


class Relay(nn.Module):
    """Part of the exit head `index` (1..K) that works with what the head before left.

    Subclasses take ``(config, index, features)``, the last being the D numbers that the head's classifier looks at.
    The first exit receives nothing, the last one leaves nothing.
    """

    size: int
    """Numbers S handed on from exit to exit."""

    def forward(
        self,
        embedding: Float[Tensor, "batch features"],
        logits: Float[Tensor, "batch classes"],
        received: Float[Tensor, "batch handed"] | None,
    ) -> tuple[Float[Tensor, "batch classes"], Float[Tensor, "batch handed"]]:
        """Logits of the exit, from those of the head alone; and what the next exit shall know."""
        raise NotImplementedError

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one spectrum."""
        raise NotImplementedError


RELAYS: Registry[type[Relay]] = Registry("relay", ModelError, besides=(NO_RELAY,))
register_relay = RELAYS.register


def create_relay(config: NetworkConfig, index: int, features: int) -> Relay:
    """Build the registered relay that the configuration names, for exit `index`.

    Raises
    ------
    ModelError
        When its name is unknown.
    """
    return RELAYS.find(config.relay)(config, index, features)


@register_relay("cascade")
class Cascade(Relay):
    r"""Exits see what the exit before said.

    .. math:: z_k = W_k e_k + b_k + V_k \mathrm{LN}(\mathrm{sg}\, z_{k-1})

    Cascade connections of Zero Time Waste (Wolczyk et al. 2021, section 3.1): a layer norm of the logits before joins
    the head's features; no gradient goes back through it. Scale and offset of the layer norm are in V and b.
    """

    def __init__(self, config: NetworkConfig, index: int, features: int) -> None:
        super().__init__()
        self.size = config.n_classes
        self.weigh = nn.Linear(self.size, self.size, bias=False) if index > 1 else None

    def forward(
        self,
        embedding: Float[Tensor, "batch features"],
        logits: Float[Tensor, "batch classes"],
        received: Float[Tensor, "batch handed"] | None,
    ) -> tuple[Float[Tensor, "batch classes"], Float[Tensor, "batch handed"]]:
        """Add what the exit before says; hand on normalised logits."""
        if self.weigh is not None and received is not None:
            logits = logits + self.weigh(received)
        return logits, functional.layer_norm(logits.detach(), (self.size,))

    @property
    def macs(self) -> int:
        """One multiply for each weight."""
        return 0 if self.weigh is None else self.weigh.weight.numel()


@register_relay("attention")
class Attention(Relay):
    r"""Exits look at the features of all exits so far, weighted by layer.

    .. math:: v_k = \mathrm{ReLU}(A_k e_k), \quad a_k = w_k \cdot v_k + b_k, \quad
        c_k = \sum_{j \le k} \mathrm{softmax}_j(a)\, v_j, \quad z_k = W_k e_k + U_k c_k

    Layer-selective attention after LSANet (arXiv 2209.13844), whose code is not public: one weight a layer from the
    spectrum itself, and nothing of deeper layers, so that an exit can answer before they have run. What travels is
    c_k and the logarithm of its softmax's denominator, from which the next exit goes on: ``head_channels`` + 1 numbers.
    """

    def __init__(self, config: NetworkConfig, index: int, features: int) -> None:
        super().__init__()
        self.size = config.head_channels + 1
        self.value = nn.Linear(features, config.head_channels)
        self.score = nn.Linear(config.head_channels, 1)
        self.weigh = nn.Linear(config.head_channels, config.n_classes, bias=False)

    def forward(
        self,
        embedding: Float[Tensor, "batch features"],
        logits: Float[Tensor, "batch classes"],
        received: Float[Tensor, "batch handed"] | None,
    ) -> tuple[Float[Tensor, "batch classes"], Float[Tensor, "batch handed"]]:
        """Attend to this layer and those before; hand on what has been seen, and how much of it there was."""
        seen = torch.relu(self.value(embedding))
        amount: Tensor = self.score(seen)
        if received is not None:
            before, known = received[:, :-1], received[:, -1:]
            share = torch.sigmoid(amount - known)
            seen, amount = before + share * (seen - before), torch.logaddexp(known, amount)
        return logits + self.weigh(seen), torch.cat([seen, amount], dim=1)

    @property
    def macs(self) -> int:
        """One multiply for each weight, and one for each number that is averaged."""
        layers = (self.value, self.score, self.weigh)
        return sum(layer.weight.numel() for layer in layers) + self.size - 1


def carried_rows(size: int, channels: int) -> int:
    """Rows of features that so many numbers take."""
    return -(-size // channels)


def load(
    features: Float[Tensor, "batch positions channels"], handed: Float[Tensor, "batch handed"] | None
) -> Float[Tensor, "batch rows channels"]:
    """Append what an exit leaves to its stage's features, filled up with zeros."""
    if handed is None:
        return features
    channels = features.shape[2]
    filled = functional.pad(handed, (0, -handed.shape[1] % channels))
    return torch.cat([features, filled.reshape(len(filled), -1, channels)], dim=1)


def unload(
    rows: Float[Tensor, "batch rows channels"], size: int
) -> tuple[Float[Tensor, "batch positions channels"], Float[Tensor, "batch handed"] | None]:
    """Inverse of `load` for so many numbers; None for 0 of them."""
    if not size:
        return rows, None
    positions = rows.shape[1] - carried_rows(size, rows.shape[2])
    return rows[:, :positions], rows[:, positions:].flatten(1)[:, :size]
