"""Thresholds with a guarantee: at most so much worse than the full network.

Jazbec et al. 2024, "Fast yet Safe: Early-Exiting with Risk Control": one confidence for all exits is lowered from
"never leave early" as long as the risk stays under control on spectra that nothing else was fitted on. The loss of a
spectrum is the performance gap: 1 where leaving early makes a mistake that the last exit would not have made, -1 where
it avoids one, else 0.

Both guarantees are about spectra drawn as those of the calibration split were; on another instrument, none holds.

Legend: n spectra, E exits, G points of the grid, the first of which never leaves early.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec
import numpy as np
from numpy.typing import NDArray

from specnet.calibration.betting import refuted, upper_bound
from specnet.calibration.exit_table import ExitTable
from specnet.errors import ConfigurationError
from specnet.exits import NEVER

GRID = 200


class RiskMethod(StrEnum):
    """How the risk is bounded.

    `UCB`: with the stated confidence over draws of the calibration split, the risk is at most what was asked for.
    `CRC`: the risk is, on average over draws of the calibration split, at most what was asked for (conformal risk
    control, Angelopoulos et al. 2024).
    """

    UCB = "ucb"
    CRC = "crc"


class RiskControl(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was promised, and on what it rests.

    Parameters
    ----------
    max_risk
        Accuracy that may be lost against the last exit, 0..1.
    confidence
        Probability of keeping the promise; only `RiskMethod.UCB` has one.
    method
        A `RiskMethod`.
    n_risk
        Spectra that the threshold was chosen on; nothing else was fitted on them.
    threshold
        The confidence at which spectra leave, at every exit; `NEVER` where none may.
    risk_bound
        Bound of the risk at this threshold; 0 where nothing leaves early.
    least_risk
        The smallest promise that so many spectra could support at all.
    """

    max_risk: float
    confidence: float
    method: RiskMethod
    n_risk: int
    threshold: float
    risk_bound: float
    least_risk: float


def gap_losses(table: ExitTable, grid: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the performance gap ``(G, n)`` of leaving at the first exit whose score reaches a grid value ``(G,)``."""
    rows = np.arange(table.n_spectra)
    losses = np.empty((len(grid), table.n_spectra))
    for i, level in enumerate(grid):
        exit_index = table.outcome((level,) * table.n_exits).exit_index
        losses[i] = table.correct[-1].astype(np.float64) - table.correct[exit_index, rows]
    return losses


def confidence_grid(table: ExitTable) -> NDArray[np.float64]:
    """Thresholds ``(G,)`` from `NEVER` down, at quantiles of the scores of what the policy was fitted on."""
    scores = table.scores[:-1]
    if not scores.size:
        return np.array([NEVER])
    levels = np.unique(np.quantile(scores, np.linspace(0.0, 1.0, GRID), method="higher"))
    return np.concatenate([[NEVER], levels[::-1].astype(np.float64)])


def control_risk(
    fitting: ExitTable,
    held: ExitTable,
    max_risk: float,
    *,
    confidence: float = 0.95,
    method: RiskMethod | str = RiskMethod.UCB,
) -> RiskControl:
    """Choose the lowest threshold whose risk is under control.

    Parameters
    ----------
    fitting
        Of the spectra that the policy was fitted on; they say which thresholds are tried.
    held
        Of spectra that nothing was fitted on.
    max_risk
        Accuracy that may be lost against the last exit, above 0 and below 1.
    confidence
        Probability of keeping the promise, for `RiskMethod.UCB`.
    method
        A `RiskMethod`.

    Raises
    ------
    ConfigurationError
        When a number is out of range or the method unknown.
    """
    if not 0.0 < max_risk < 1.0:
        raise ConfigurationError(f"a risk is a share of spectra above 0 and below 1, got {max_risk}")
    if not 0.0 < confidence < 1.0:
        raise ConfigurationError(f"a confidence is above 0 and below 1, got {confidence}")
    if method not in list(RiskMethod):
        raise ConfigurationError(f"unknown risk method {method!r}; known: {', '.join(RiskMethod)}")
    grid = confidence_grid(fitting)
    losses = gap_losses(held, grid)
    if method == RiskMethod.UCB:
        chosen = lowest_by_bound(losses, max_risk, confidence)
        bound = upper_bound(losses[chosen], confidence) if chosen else 0.0
        least = upper_bound(np.zeros(held.n_spectra), confidence)
    else:
        chosen = lowest_by_expectation(losses, max_risk)
        bound = float(_expected(losses)[chosen]) if chosen else 0.0
        least = 1.0 / (held.n_spectra + 1)
    return RiskControl(
        max_risk=max_risk,
        confidence=confidence,
        method=RiskMethod(method),
        n_risk=held.n_spectra,
        threshold=float(grid[chosen]),
        risk_bound=bound,
        least_risk=least,
    )


def lowest_by_bound(losses: NDArray[np.float64], max_risk: float, confidence: float) -> int:
    """Last grid index before the first whose risk is not shown to be below `max_risk`; 0 when none is.

    Testing in a fixed order and stopping at the first failure keeps the error of all tests together at that of one.

    Parameters
    ----------
    losses
        ``(G, n)``; the first row is of never leaving early, whose risk is 0 and needs no test.
    max_risk, confidence
        As for `control_risk`.
    """
    failures = np.flatnonzero(~refuted(losses[1:], max_risk, confidence))
    return int(failures[0]) if failures.size else len(losses) - 1


def lowest_by_expectation(losses: NDArray[np.float64], max_risk: float) -> int:
    """Last grid index whose expected risk is at most `max_risk`; 0 when there is none. ``(G, n)`` losses."""
    good = np.flatnonzero(_expected(losses)[1:] <= max_risk)
    return int(good[-1]) + 1 if good.size else 0


def _expected(losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bound ``(G,)`` of the expected risk.

    The theorem is about losses that never fall as the threshold does, so each spectrum counts with its largest loss so
    far. It begins at 0 and its bound B is 1: an unseen spectrum is counted as lost.
    """
    monotone = np.maximum.accumulate(losses, axis=0)
    return (monotone.sum(axis=1) + 1.0) / (losses.shape[1] + 1.0)  # type: ignore[no-any-return]
