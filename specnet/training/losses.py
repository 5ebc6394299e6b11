"""Losses over all exits, each a term that adds up, and their registry.

Exit 0 is fitted apart (`specnet.training.linear`); losses see the network's exits 1..K.

Legend: B batch, K network exits, U units, P positions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from specnet.nn import ExitOutputs, SpecNet
from specnet.training.config import TrainConfig
from specnet.training.schedule import active_budget


@dataclass(frozen=True)
class Context:
    """What a loss may look at besides the outputs: the network, the recipe, and progress 0..1 of the training."""

    network: SpecNet
    config: TrainConfig
    progress: float


class Loss(Protocol):
    """One term of the training loss."""

    def __call__(self, outputs: ExitOutputs, labels: Int[Tensor, " batch"], context: Context) -> Float[Tensor, ""]:
        """Value of the term, averaged over the batch."""


LOSSES: dict[str, Loss] = {}


def register_loss(name: str) -> Callable[[Loss], Loss]:
    """Make a loss available under a name."""

    def register(loss: Loss) -> Loss:
        LOSSES[name] = loss
        return loss

    return register


@register_loss("cross_entropy")
def cross_entropy(outputs: ExitOutputs, labels: Int[Tensor, " batch"], context: Context) -> Float[Tensor, ""]:
    r"""Sum of the exits' cross-entropies; shallow ones by ``1 - alpha``, what distillation leaves to the labels.

    .. math:: (1 - \alpha) \sum_{k<K} CE_k + CE_K
    """
    *shallow, deepest = [functional.cross_entropy(logits, labels) for logits in outputs.logits[1:]]
    return deepest + (1.0 - context.config.distillation) * sum(shallow, start=deepest.new_zeros(()))


@register_loss("self_distillation")
def self_distillation(outputs: ExitOutputs, labels: Int[Tensor, " batch"], context: Context) -> Float[Tensor, ""]:
    r"""Let the deepest exit softly supervise the shallow ones (Zhang et al. 2019, "Be your own teacher", eq. 3).

    .. math:: \alpha \sum_{k<K} T^2\, KL(\mathrm{sg}\,p_K^T \,\|\, p_k^T)
    """
    softness = context.config.temperature
    *shallow, deepest = outputs.logits[1:]
    target = functional.softmax(deepest.detach() / softness, dim=1)
    terms = [
        functional.kl_div(functional.log_softmax(logits / softness, dim=1), target, reduction="batchmean")
        for logits in shallow
    ]
    return context.config.distillation * softness**2 * sum(terms, start=deepest.new_zeros(()))


@register_loss("compute_budget")
def compute_budget(outputs: ExitOutputs, labels: Int[Tensor, " batch"], context: Context) -> Float[Tensor, ""]:
    r"""Hinge on the share of all residual units' MACs that ran, one budget for the whole network.

    .. math:: \lambda \max(0, s - s^*(t)), \quad
        s = \frac{\sum_k m_k \sum_{u,p} a_{kup}}{\sum_k m_k U_k P_k}

    A single global budget lets the network decide between stages and positions; the target anneals from everything
    to `active_target`.
    """
    share = active_share(outputs, context.network)
    return BUDGET_WEIGHT * functional.relu(share - active_budget(context.progress, context.config.active_target))


BUDGET_WEIGHT = 8.0


def active_share(outputs: ExitOutputs, network: SpecNet) -> Float[Tensor, ""]:
    """Share of the residual units' MACs that ran, differentiable through the gates."""
    spent = outputs.logits[0].new_zeros(())
    full = 0.0
    for gates, macs in zip(outputs.gates, network.unit_macs(), strict=True):
        spent = spent + macs * gates.mean(dim=0).sum()
        full += macs * gates.shape[1] * gates.shape[2]
    return spent / max(full, 1.0)
