"""Losses over all exits, each a term that adds up, and their registry.

Exit 0 is fitted apart (`specnet.training.linear`); losses see the network's exits: those behind it, or all exits of a
network that has no linear one.

Legend: B batch, K network exits, U units, P positions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from specnet.errors import ConfigurationError
from specnet.nn import ExitOutputs
from specnet.nn.halting import open_gates, transitions
from specnet.nn.protocol import ExitNetwork
from specnet.registry import Registry
from specnet.training.config import CODED_PATH, TrainConfig
from specnet.training.schedule import active_budget

BUDGET_WEIGHT = 8.0


@dataclass(frozen=True)
class Context:
    """What a loss may look at besides the outputs.

    Parameters
    ----------
    network, config
        What is trained, and the recipe.
    progress
        0..1 through the phase.
    last_exit_only
        Whether the shallow exits have no loss in this phase.
    teacher
        Logits ``(B, C)`` of the dense network's deepest exit, where there is such a teacher.
    stage
        1..K in a phase that trains this stage alone; its exit is then the deepest. 0 in others.
    weigh
        From cross-entropies ``(B, K)`` to weights, where they are learned.
    """

    network: ExitNetwork
    config: TrainConfig
    progress: float
    last_exit_only: bool = False
    teacher: Float[Tensor, "batch classes"] | None = None
    stage: int = 0
    weigh: Callable[[Tensor], Tensor] | None = None

    def split(self, outputs: ExitOutputs) -> tuple[list[Tensor], Tensor]:
        """Logits of the shallow exits that have a loss, and of the deepest."""
        *shallow, deepest = self.up_to(outputs)
        return ([] if self.last_exit_only or self.stage else shallow), deepest

    def up_to(self, outputs: ExitOutputs) -> list[Tensor]:
        """Logits of the network's exits as far as the phase goes, whether they have a loss or not."""
        exits = outputs.logits[1:] if self.network.exit0 is not None else outputs.logits
        return exits[: self.stage] if self.stage else exits


class Loss(Protocol):
    """One term of the training loss."""

    def __call__(self, outputs: ExitOutputs, labels: Int[Tensor, " batch"], context: Context) -> Float[Tensor, ""]:
        """Value of the term, averaged over the batch."""


LOSSES: Registry[Loss] = Registry("loss", ConfigurationError)
register_loss = LOSSES.register


@register_loss("cross_entropy")
def cross_entropy(outputs: ExitOutputs, labels: Int[Tensor, " batch"], context: Context) -> Float[Tensor, ""]:
    r"""Sum of the exits' cross-entropies; shallow ones by ``1 - alpha``, what distillation leaves to the labels.

    .. math:: (1 - \alpha) \sum_{k<K} CE_k + CE_K

    With alpha = 0 it is the equal-weight joint training of MSDNet (Huang et al. 2018), the reference.
    """
    shallow, deepest = context.split(outputs)
    smoothing = context.config.label_smoothing

    def one(logits: Tensor) -> Tensor:
        return functional.cross_entropy(logits, labels, label_smoothing=smoothing)

    return one(deepest) + (1.0 - context.config.distillation) * _sum(deepest, [one(logits) for logits in shallow])


@register_loss("self_distillation")
def self_distillation(outputs: ExitOutputs, labels: Int[Tensor, " batch"], context: Context) -> Float[Tensor, ""]:
    r"""Let the deepest exit softly supervise the shallow ones (Zhang et al. 2019, "Be your own teacher", eq. 3).

    .. math:: \alpha \sum_{k<K} T^2\, KL(\mathrm{sg}\,p_K^T \,\|\, p_k^T)
    """
    shallow, deepest = context.split(outputs)
    terms = [_soft(logits, deepest.detach(), context.config.temperature) for logits in shallow]
    return context.config.distillation * _sum(deepest, terms)


@register_loss("feature_hints")
def feature_hints(outputs: ExitOutputs, labels: Int[Tensor, " batch"], context: Context) -> Float[Tensor, ""]:
    r"""Pull what the shallow heads see towards what the deepest one sees (the hint of "Be your own teacher", eq. 5).

    .. math:: \beta \sum_{k<K} \frac{1}{D} \lVert e_k - \mathrm{sg}\, e_K \rVert^2

    With e the D inputs of a head's classifier. Their mean instead of the paper's sum, so that beta means the same for
    every size. Heads whose inputs are of another size than the deepest one's have no hint.
    """
    *shallow, deepest = outputs.embeddings or [outputs.logits[-1][:, :0]]
    target = deepest.detach()
    fitting = [] if context.last_exit_only else [e for e in shallow if e.shape == target.shape]
    return context.config.hint_weight * _sum(
        outputs.logits[-1], [functional.mse_loss(embedding, target) for embedding in fitting]
    )


@register_loss("dense_distillation")
def dense_distillation(outputs: ExitOutputs, labels: Int[Tensor, " batch"], context: Context) -> Float[Tensor, ""]:
    r"""While depth is being learnt, the dense network that was there before supervises every exit.

    .. math:: \alpha \sum_{k \le K} T^2\, KL(p_{dense}^T \,\|\, p_k^T)

    Zero as long as there is no such teacher.
    """
    shallow, deepest = context.split(outputs)
    if context.teacher is None:
        return deepest.new_zeros(())
    terms = [_soft(logits, context.teacher, context.config.temperature) for logits in (*shallow, deepest)]
    return context.config.distillation * _sum(deepest, terms)


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


@register_loss("ponder_cost")
def ponder_cost(outputs: ExitOutputs, labels: Int[Tensor, " batch"], context: Context) -> Float[Tensor, ""]:
    r"""Price all mass that reaches a unit, whatever the budget (SACT, Figurnov et al. 2017, eq. 8).

    .. math:: \tau \sum_k m_k \sum_{u,p} a_{kup} \Big/ \sum_k m_k U_k P_k
    """
    return context.config.ponder_price * _weighted(outputs, context.network, outputs.gates)


@register_loss("contiguity")
def contiguity(outputs: ExitOutputs, labels: Int[Tensor, " batch"], context: Context) -> Float[Tensor, ""]:
    """Price every change between active and halted along the axis, as a share of the positions.

    Runs of active positions are what a processor skips well (scattered ones cost half as much again).
    """
    terms = [transitions(gates) / max(1, gates.shape[2] - 1) for gates in outputs.gates]
    return context.config.contiguity * _sum(outputs.logits[-1], terms)


def active_share(outputs: ExitOutputs, network: ExitNetwork) -> Float[Tensor, ""]:
    """Share of the residual units' MACs that ran, differentiable through the gates; 0 without such units."""
    return _weighted(outputs, network, [open_gates(gates) for gates in outputs.gates])


def _weighted(outputs: ExitOutputs, network: ExitNetwork, gates: Sequence[Tensor]) -> Tensor:
    spent = outputs.logits[-1].new_zeros(())
    full = 0.0
    for each, macs in zip(gates, network.unit_macs(), strict=True):
        spent = spent + macs * each.mean(dim=0).sum()
        full += macs * each.shape[1] * each.shape[2]
    return spent / max(full, 1.0)


def _soft(logits: Tensor, target: Tensor, softness: float) -> Tensor:
    """Divergence from a softened target, times T^2 (Hinton et al. 2015)."""
    wanted = functional.softmax(target / softness, dim=1)
    own = functional.log_softmax(logits / softness, dim=1)
    return softness**2 * functional.kl_div(own, wanted, reduction="batchmean")


def _sum(like: Tensor, terms: Sequence[Tensor]) -> Tensor:
    return sum(terms, start=like.new_zeros(()))


@register_loss(CODED_PATH)
def coded_path(outputs: ExitOutputs, labels: Int[Tensor, " batch"], context: Context) -> Float[Tensor, ""]:
    r"""Let exits behind a bottleneck be right, and its bits be few (rate-distortion with the task's own distortion).

    .. math:: \frac{1}{K - s} \sum_{k>s} CE(\hat z_k) + \lambda R

    With the logits of decoded features and R in bits a spectrum; nothing where there is no bottleneck.
    """
    if not outputs.coded:
        return outputs.logits[-1].new_zeros(())
    terms = [functional.cross_entropy(logits, labels) for logits in outputs.coded]
    rate = outputs.bits[0].mean()
    return _sum(outputs.logits[-1], terms) / len(terms) + context.config.bottleneck_price * rate
