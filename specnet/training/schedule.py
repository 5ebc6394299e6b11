"""What changes over the course of a training: learning rate, gates, and the compute budget.

Gates that are trained from the first step on cost more than the units are worth. So the network is dense for the first
40 %, then gates open and close with noise while the budget anneals over 30 %, and the last 20 % run without noise, as
inference will.
"""

from __future__ import annotations

import math

from specnet.nn import DENSE, HARD, Gating

DENSE_UNTIL = 0.4
ANNEALED_AT = 0.7
NOISE_UNTIL = 0.8
GATE_NOISE = 0.7
WARM_UP = 0.1


def gating(progress: float, adaptive: bool) -> Gating:
    """Behaviour of the gates at a progress of 0..1."""
    if not adaptive or progress < DENSE_UNTIL:
        return DENSE
    return Gating(noise=GATE_NOISE) if progress < NOISE_UNTIL else HARD


def active_budget(progress: float, target: float) -> float:
    """Share of the units' MACs allowed at a progress of 0..1: all, then falling linearly to the target."""
    fraction = min(max((progress - DENSE_UNTIL) / (ANNEALED_AT - DENSE_UNTIL), 0.0), 1.0)
    return 1.0 + fraction * (target - 1.0)


def rate_factor(progress: float) -> float:
    """Factor on the learning rate at a progress of 0..1: linear warm-up, then half a cosine to zero."""
    if progress < WARM_UP:
        return 0.05 + 0.95 * progress / WARM_UP
    return 0.5 * (1.0 + math.cos(math.pi * (progress - WARM_UP) / (1.0 - WARM_UP)))
