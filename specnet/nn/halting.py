"""Adaptivities: which residual units run where, and their registry.

All of them read their scores at the stage's entry, where SACT (Figurnov et al. 2017) scores a position again before
each unit: so the whole depth map is known before any unit runs, rows can be gathered once, and the scores of all units
are one thin matrix product.

Legend: B batch, C channels, P positions of the stage, U residual units.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from specnet.errors import ModelError
from specnet.registry import Registry

SMOOTH = 5
"""Positions over which halting scores are averaged, so that active positions form runs and not scattered points."""
LEAST_MASS = 0.01
"""Remaining mass below which a position has halted (epsilon of ACT, Graves 2016)."""
NONE = "none"
"""The adaptivity of a static network: it has no scores, every unit runs everywhere."""


class Halting(nn.Module):
    """Scores at the stage's entry, and the gates that follow from them.

    Subclasses take ``(channels, units)`` and implement `gates_of`. A gate is what a unit's branch is multiplied by;
    where it is exactly 0 the position has halted and the unit is not computed. Gates never grow from unit to unit.
    """

    start = 1.0
    """Bias of the scores at the start of training: every unit runs."""
    whole_spectra = False
    """Whether all positions of a spectrum halt together."""

    def __init__(self, channels: int, units: int) -> None:
        super().__init__()
        self.score = nn.Conv2d(channels, units, 1)
        assert self.score.bias is not None
        nn.init.zeros_(self.score.weight)
        nn.init.constant_(self.score.bias, self.start)

    def forward(
        self, x: Float[Tensor, "batch channels 1 positions"], noise: float
    ) -> Float[Tensor, "batch units positions"]:
        """Gates of every unit at every position, differentiable; `noise` is the scale of the training noise."""
        raise NotImplementedError

    def macs(self, positions: int) -> int:
        """Multiply-accumulates of the scores of one spectrum."""
        return positions * self.score.weight.numel()

    def perturb(self, scores: Tensor, noise: float) -> Tensor:
        """Scores with logistic noise, in training only: a sigmoid's threshold then becomes a random draw."""
        if noise <= 0 or not self.training:
            return scores
        uniform = torch.rand_like(scores).clamp(1e-6, 1 - 1e-6)
        return scores + noise * (uniform.log() - (1 - uniform).log())


ADAPTIVITIES: Registry[type[Halting]] = Registry("adaptivity", ModelError, besides=(NONE,))
register_adaptivity = ADAPTIVITIES.register


def create_halting(adaptivity: str, channels: int, units: int) -> Halting | None:
    """Build what the registered adaptivity needs in a stage; None for `NONE`, and where no unit could halt.

    Raises
    ------
    ModelError
        For an unknown adaptivity.
    """
    if adaptivity == NONE:
        return None
    halting = ADAPTIVITIES.find(adaptivity)
    return halting(channels, units) if units else None


@register_adaptivity("gate")
class PositionGates(Halting):
    r"""Hard gates of each position: it halts before the first unit whose score is not positive.

    .. math:: g_u = \mathrm{smooth}_5(w_u^\top x + b_u), \quad a_u = \prod_{j \le u} [g_j > 0]

    The gradient passes the step straight through a sigmoid (Bengio et al. 2013).
    """

    def forward(
        self, x: Float[Tensor, "batch channels 1 positions"], noise: float
    ) -> Float[Tensor, "batch units positions"]:
        """Exactly 1 where the unit runs, exactly 0 where the position has halted."""
        return cumulative_gates(smooth(self.perturb(self.score(x).squeeze(2), noise)))


@register_adaptivity("sample")
class SampleGates(Halting):
    r"""Hard gates of a whole spectrum: its stage ends before the first unit whose score is not positive.

    .. math:: g_u = w_u^\top \bar x + b_u, \quad \bar x = \tfrac{1}{P} \sum_p x_p

    All positions run a unit or none does: the per-sample depth that per-position depth is compared with (as in
    SkipNet, Wang et al. 2018, but cumulative).
    """

    whole_spectra = True

    def forward(
        self, x: Float[Tensor, "batch channels 1 positions"], noise: float
    ) -> Float[Tensor, "batch units positions"]:
        """Exactly 1 at all positions where the unit runs, exactly 0 at all where the spectrum has halted."""
        scores = self.score(x.mean(dim=3, keepdim=True)).squeeze(2)
        return cumulative_gates(self.perturb(scores, noise)).expand(-1, -1, x.shape[-1])

    def macs(self, positions: int) -> int:
        """Scores of one averaged position, and the additions of the mean."""
        return self.score.weight.numel() + positions * self.score.in_channels


@register_adaptivity("ponder")
class PonderMass(Halting):
    r"""Adaptive computation time along the axis: units count with the mass that has not halted yet.

    .. math:: h_u = \mathrm{smooth}_5(\sigma(w_u^\top x + b_u)), \quad m_u = 1 - \sum_{j \le u} h_j

    After SACT (Figurnov et al. 2017, section 3.2), with a residual reading of it: the weighted sum of states equals
    adding each unit's branch times the mass that goes on to it. A mass below `LEAST_MASS` is set to 0, which halts the
    position. The ponder cost is the sum of the gates; it is also the differentiable estimate of what runs, from below
    (a unit runs in full however small its mass; `open_gates` has the true count as its value). Scores start at
    SACT's -3. The mass is continuous, so there is no noise.
    """

    start = -3.0

    def forward(
        self, x: Float[Tensor, "batch channels 1 positions"], noise: float
    ) -> Float[Tensor, "batch units positions"]:
        """Remaining mass in front of each unit, 0..1; exactly 0 where the position has halted."""
        halted = smooth(torch.sigmoid(self.score(x).squeeze(2)))
        mass = 1.0 - halted.cumsum(dim=1)
        return torch.where(mass > LEAST_MASS, mass, torch.zeros_like(mass))


def smooth(scores: Float[Tensor, "batch units positions"]) -> Float[Tensor, "batch units positions"]:
    """Mean over `SMOOTH` neighbouring positions; over those that there are at the ends."""
    return functional.avg_pool1d(scores, SMOOTH, stride=1, padding=SMOOTH // 2, count_include_pad=False)


def cumulative_gates(scores: Float[Tensor, "batch units positions"]) -> Float[Tensor, "batch units positions"]:
    """Product of the open gates so far, with the straight-through gradient of a sigmoid."""
    soft = torch.sigmoid(scores)
    # the difference is exactly 0, so that open gates are exactly 1 and equal gates make no transition
    return torch.cumprod((scores > 0).to(scores.dtype) + (soft - soft.detach()), dim=1)


def open_gates(gates: Float[Tensor, "batch units positions"]) -> Float[Tensor, "batch units positions"]:
    """Exactly what runs, 0 or 1, with the gradient of the gates: what a budget of compute should look at."""
    return gates + ((gates > 0).to(gates.dtype) - gates).detach()


def transitions(gates: Float[Tensor, "batch units positions"]) -> Float[Tensor, ""]:
    """Count the changes along the axis, mean over spectra and units: twice the number of inner active runs.

    It is the total variation of the gates, differentiable; for masses, changes count by their height.
    """
    if gates.shape[1] == 0:
        return gates.new_zeros(())
    return gates.diff(dim=2).abs().sum(dim=2).mean()
