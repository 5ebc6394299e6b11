"""Thresholds for a compute budget: the budgeted-batch procedure of MSDNet.

Huang et al. 2018, "Multi-Scale Dense Networks for Resource Efficient Image Classification", section 4 (budgeted
batch): a share q_k of the spectra, geometric in k, is to leave at exit k, and each threshold is the quantile that
achieves it on held-out data. Published code only sweeps the ratio p; here p is solved for, and the cost of a
spectrum is what it really executed, which differs from spectrum to spectrum.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from specnet.calibration.cached import CachedLogits
from specnet.calibration.exit_table import ExitTable
from specnet.errors import ConfigurationError
from specnet.exits import NEVER, ExitPolicy

_BISECTIONS = 60
_COUNT_ROUNDING = 1e-6  # n * q of a q that is exact on paper may fall just short of a whole number


def exit_distribution(p: float, n_exits: int) -> NDArray[np.float64]:
    """Shares ``(E,)`` proportional to ``p ** k`` that sum to one.

    Parameters
    ----------
    p
        From 0 (everything leaves at the first exit) over 1 (equal shares) to infinity (everything reaches the last).

    Raises
    ------
    ConfigurationError
        When p is negative or NaN.
    """
    if not p >= 0:
        raise ConfigurationError(f"the ratio of an exit distribution is 0 or more, got {p}")
    shares = np.zeros(n_exits)
    if p == 0:
        shares[0] = 1.0
        return shares
    if math.isinf(p):
        shares[-1] = 1.0
        return shares
    logs = np.arange(n_exits) * math.log(p)
    shares = np.exp(logs - logs.max())
    return shares / shares.sum()  # type: ignore[no-any-return]


def thresholds_for_distribution(
    scores: NDArray[np.float32], shares: Sequence[float] | NDArray[np.float64]
) -> tuple[float, ...]:
    """Thresholds that send the wanted share of spectra out at each exit.

    At exit k the ``floor(n * q_k)`` most confident spectra among those still there are taken; the threshold is the
    score of the last one taken, and whoever ties with it leaves too. With nobody to take the exit is closed. The
    rest leaves at the last exit.

    Parameters
    ----------
    scores
        ``(E, n)`` scores of every exit on the calibration split.
    shares
        ``(E,)`` wanted shares q.

    Returns
    -------
    tuple
        E thresholds; the last one is not used and 0.

    Raises
    ------
    ConfigurationError
        When the shares are not one number in 0..1 an exit that sum to one.
    """
    wanted = np.asarray(shares, dtype=np.float64)
    n_exits, n = scores.shape
    if wanted.shape != (n_exits,) or not (wanted >= 0).all() or abs(wanted.sum() - 1.0) > 1e-6:
        raise ConfigurationError(f"expected {n_exits} exit shares that sum to 1, got {wanted.tolist()}")
    remaining = np.ones(n, dtype=np.bool_)
    thresholds = []
    for k in range(n_exits - 1):
        candidates = scores[k, remaining]
        take = min(math.floor(n * wanted[k] + _COUNT_ROUNDING), candidates.size)
        if take == 0:
            thresholds.append(NEVER)
            continue
        position = candidates.size - take
        threshold = np.partition(candidates, position)[position]
        thresholds.append(float(threshold))
        remaining &= scores[k] < threshold
    return (*thresholds, 0.0)


def thresholds_for_budget(cached: CachedLogits, policy: ExitPolicy, mean_macs: float) -> ExitPolicy:
    """Policy whose mean executed MACs on this split come as close to a budget as the procedure can, never above it.

    Parameters
    ----------
    cached
        The calibration split.
    policy
        Temperatures, combiner and score; its thresholds are replaced.
    mean_macs
        The budget, multiply-accumulates a spectrum on average.

    Raises
    ------
    ConfigurationError
        When even leaving at exit 0 costs more.
    """
    thresholds = solve_budget(ExitTable.of(cached, policy), mean_macs)
    return msgspec.structs.replace(policy, thresholds=thresholds)


def solve_budget(table: ExitTable, mean_macs: float) -> tuple[float, ...]:
    """Thresholds for a budget, by bisection on the ratio p; parameters and errors as `thresholds_for_budget`."""
    cheapest, dearest = float(table.macs[0].mean()), float(table.macs[-1].mean())
    if not mean_macs >= cheapest:
        raise ConfigurationError(
            f"a budget of {mean_macs:,.0f} MACs a spectrum cannot be met: this network needs at least {cheapest:,.0f} "
            f"(all leave at exit 0) and uses at most {dearest:,.0f} (all reach the last exit)"
        )

    if mean_macs >= dearest:
        return thresholds_for_distribution(table.scores, exit_distribution(math.inf, table.n_exits))
    best = thresholds_for_distribution(table.scores, exit_distribution(0.0, table.n_exits))
    best_cost = cheapest
    # u = p / (1 + p) maps all ratios to 0..1. Cost grows with u up to the granularity of one spectrum and ties, so the
    # dearest affordable thresholds seen are kept rather than the last ones.
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        u = (low + high) / 2
        thresholds = thresholds_for_distribution(table.scores, exit_distribution(u / (1.0 - u), table.n_exits))
        cost = table.outcome(thresholds).mean_macs
        if cost > mean_macs:
            high = u
            continue
        low = u
        if cost > best_cost:
            best, best_cost = thresholds, cost
    return best
