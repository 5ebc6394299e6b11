"""Losses of published early-exit methods, each a term that adds up like those of `specnet.training.losses`.

As there, exit 0 is fitted apart and has no loss, and a phase that trains the last exit only has the last exit's term.

Legend: B batch, C classes, K network exits; z_k logits and p_k probabilities of exit k = 1..K, y the label, sg(.) what
has no gradient.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from specnet.nn import ExitOutputs
from specnet.training.losses import Context, register_loss

GATED_CONFIDENCE = 0.9
"""Confidence from which an exit that is right counts as having answered."""
LEAST_GATE = 1e-3
RAMP_START = 0.01


@register_loss("boosted")
def boosted(outputs: ExitOutputs, labels: Int[Tensor, " batch"], context: Context) -> Float[Tensor, ""]:
    r"""Additive exits: each learns what those before it leave over (BoostNet, Yu et al. 2023, eq. 3 and 4).

    .. math:: \sum_k CE(z_k + \mathrm{sg}[t F_{k-1}], y), \quad F_k = z_k + t F_{k-1}, \quad F_0 = 0

    All exits in one step on one batch instead of stage by stage. Without the stop-gradient it would be the joint
    training of a sum. At inference F_k answers: the combiner ``geometric`` with ``(a, b) = (t, 1)`` at every exit,
    since log-probabilities are logits but for a constant; calibration fits both numbers.
    """
    total = earlier = outputs.logits[-1].new_zeros(())
    for logits in _exits(outputs, context):
        earlier = logits + context.config.ensemble_weight * earlier.detach()
        total = total + _cross_entropy(earlier, labels, context).mean()
    return total


@register_loss("ramped_cross_entropy")
def ramped_cross_entropy(outputs: ExitOutputs, labels: Int[Tensor, " batch"], context: Context) -> Float[Tensor, ""]:
    r"""Let shallow exits come in slowly, deeper ones with more weight (Shallow-Deep Networks, Kaya et al. 2019).

    .. math:: CE_K + \sum_{k<K} \tau_k(t)\, CE_k, \quad \tau_k(t) = .01 + t\,(k/K - .01)

    With t the progress of the phase. The paper's last weights, .15 to .9, are the depths of its exits as shares of the
    whole network, which k/K is here.
    """
    shallow, deepest = context.split(outputs)
    total = _cross_entropy(deepest, labels, context).mean()
    for number, logits in enumerate(shallow, start=1):
        last = number / (len(shallow) + 1)
        weight = RAMP_START + context.progress * (last - RAMP_START)
        total = total + weight * _cross_entropy(logits, labels, context).mean()
    return total


@register_loss("negative_correlation")
def negative_correlation(outputs: ExitOutputs, labels: Int[Tensor, " batch"], context: Context) -> Float[Tensor, ""]:
    r"""Let exits be an ensemble whose members may differ (deep negative correlation classification, arXiv 2212.07070).

    .. math:: \sum_k -\log a_k - \lambda\, d(a_k, \mathrm{sg}\,\bar a), \quad
        d(a, b) = -\log a + \log b + (a - b) / b

    With a_k what exit k gives the true class and the mean of all exits with a bar: d is the Bregman divergence of -log,
    so that with lambda = 1 the mean over exits is the likelihood of the ensemble, and with 0 exits are independent.
    """
    # float64: the divergence is a small difference of large numbers where an exit is sure
    own = torch.stack([-_nll(logits, labels) for logits in _exits(outputs, context)]).double()
    mean = (own.logsumexp(dim=0) - math.log(len(own))).detach()
    divergence = mean - own + (own - mean).exp() - 1.0
    loss = (-own - context.config.correlation * divergence).sum(dim=0).mean()
    return loss.to(outputs.logits[-1].dtype)


@register_loss("synergy")
def synergy(outputs: ExitOutputs, labels: Int[Tensor, " batch"], context: Context) -> Float[Tensor, ""]:
    r"""Every exit learns from every other one (deeply-supervised knowledge synergy, Sun et al. 2019, eq. 5 and 6).

    .. math:: \frac{1}{K - 1} \sum_m \sum_{n \ne m} KL(\mathrm{sg}\,p_n \,\|\, p_m)

    Beside the exits' cross-entropies. The paper has no factor before the sums; with it the term weighs as much against
    them however many exits there are.
    """
    exits = [functional.log_softmax(logits, dim=1) for logits in _exits(outputs, context)]
    total = outputs.logits[-1].new_zeros(())
    for learner in exits:
        for teacher in exits:
            if teacher is not learner:
                total = total + functional.kl_div(learner, teacher.detach(), log_target=True, reduction="batchmean")
    return total / max(1, len(exits) - 1)


@register_loss("confidence_gated")
def confidence_gated(outputs: ExitOutputs, labels: Int[Tensor, " batch"], context: Context) -> Float[Tensor, ""]:
    r"""Deep exits learn from what shallow ones leave unsure (confidence-gated training, arXiv 2509.17885, soft form).

    .. math:: \sum_k \frac{\sum_i w_{ik} CE_{ik}}{\sum_i w_{ik}}, \quad
        w_{ik} = \mathrm{sg} \prod_{j<k} (1 - p_{ij}[y_i])
    """
    total = outputs.logits[-1].new_zeros(())
    weight = outputs.logits[-1].new_ones(len(labels))
    for logits in _exits(outputs, context):
        total = total + _weighted(_cross_entropy(logits, labels, context), weight)
        weight = weight * (1.0 - _right(logits, labels))
    return total


@register_loss("confidence_gated_hard")
def confidence_gated_hard(outputs: ExitOutputs, labels: Int[Tensor, " batch"], context: Context) -> Float[Tensor, ""]:
    r"""Like ``confidence_gated``, but a spectrum is answered or not, and the emphasis moves to the deep exits.

    .. math:: w_{ik} = \lambda_k(t) \prod_{j<k} (1 - 1[\max p_{ij} \ge .9,\ \arg\max p_{ij} = y_i]) + 10^{-3}

    Over the phase lambda goes from 1 at the first exit and .1 at the last to .2 and 1 (the paper's (1, .7, .4, .1) and
    (.2, .5, .8, 1) for four exits are nearly these straight lines). Losses are means with these weights, times lambda.
    """
    exits = _exits(outputs, context)
    total = outputs.logits[-1].new_zeros(())
    waiting = outputs.logits[-1].new_ones(len(labels))
    for number, logits in enumerate(exits):
        depth = number / max(1, len(exits) - 1)
        first, last = 1.0 - 0.9 * depth, 0.2 + 0.8 * depth
        emphasis = 1.0 if len(exits) == 1 else first + context.progress * (last - first)
        total = total + emphasis * _weighted(_cross_entropy(logits, labels, context), waiting + LEAST_GATE)
        waiting = waiting * _unanswered(logits, labels)
    return total


@register_loss("cascade")
def cascade(outputs: ExitOutputs, labels: Int[Tensor, " batch"], context: Context) -> Float[Tensor, ""]:
    r"""Learn from the spectra that no exit before has answered: right, and sure of it (QuickNets, arXiv 2212.12866).

    .. math:: \frac{\sum_i w_i CE_{ik}}{\sum_i w_i}, \quad
        w_i = \prod_{j<k} (1 - 1[\max p_{ij} \ge .9,\ \arg\max p_{ij} = y_i])

    For the phases ``stagewise``, where the exits before k are finished; in others the terms of all exits are added up.
    A batch that is answered altogether teaches nothing. The commitment layer, which tells confident errors, is the
    score ``gate``, fitted to calibration spectra.
    """
    total = outputs.logits[-1].new_zeros(())
    waiting = outputs.logits[-1].new_ones(len(labels))
    exits = _exits(outputs, context) if context.last_exit_only else context.up_to(outputs)
    for number, logits in enumerate(exits, start=1):
        if number == len(exits) or not context.stage:
            total = total + _weighted(_cross_entropy(logits, labels, context), waiting)
        waiting = waiting * _unanswered(logits, labels)
    return total


@register_loss("learned_weights")
def learned_weights(outputs: ExitOutputs, labels: Int[Tensor, " batch"], context: Context) -> Float[Tensor, ""]:
    r"""Weigh spectra at exits by what they teach (L2W-DEN, Han et al. 2022, eq. 2; `specnet.training.weighting`).

    .. math:: \sum_k \frac{1}{B} \sum_i w_{ik} CE_{ik}

    All weights are 1 where none are learned, and in a phase that trains a part of the exits.
    """
    single = torch.stack([_cross_entropy(logits, labels, context) for logits in _exits(outputs, context)], dim=1)
    if context.weigh is None or context.stage or context.last_exit_only:
        return single.mean(dim=0).sum()
    return (context.weigh(single.detach()) * single).mean(dim=0).sum()


def _exits(outputs: ExitOutputs, context: Context) -> list[Tensor]:
    shallow, deepest = context.split(outputs)
    return [*shallow, deepest]


def _cross_entropy(logits: Tensor, labels: Tensor, context: Context) -> Tensor:
    """Cross-entropy of each spectrum ``(B,)``."""
    return functional.cross_entropy(logits, labels, label_smoothing=context.config.label_smoothing, reduction="none")


def _nll(logits: Tensor, labels: Tensor) -> Tensor:
    return functional.cross_entropy(logits, labels, reduction="none")


def _right(logits: Tensor, labels: Tensor) -> Tensor:
    """Probability ``(B,)`` of the true class, without gradient."""
    return torch.exp(-_nll(logits.detach(), labels))


def _unanswered(logits: Tensor, labels: Tensor) -> Tensor:
    """Tell by 1 where an exit is wrong or not sure, else 0 ``(B,)``."""
    confidence, found = functional.softmax(logits.detach(), dim=1).max(dim=1)
    return (~((confidence >= GATED_CONFIDENCE) & (found == labels))).to(logits.dtype)


def _weighted(values: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean; 0 where nothing has weight."""
    return (weights * values).sum() / weights.sum().clamp_min(torch.finfo(values.dtype).tiny)
