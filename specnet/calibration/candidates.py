"""Exit policies worth considering, judged on the calibration split.

A candidate lets spectra leave at the exits ``first .. last`` of a contiguous range only. Closing the exits before
`first` is how a poor early exit is shut; making everybody leave at `last` is how depth that does not help is never
bought; ``first == last`` is a single-exit solution. Ranges instead of all subsets, because every further choice made
on the same spectra makes the best of them look better than it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec
import numpy as np

from specnet.calibration.budget import exit_distribution, thresholds_for_distribution
from specnet.calibration.exit_table import ExitTable
from specnet.exits import NEVER

ALWAYS = -1.0
"""A threshold that every score reaches: nothing goes past this exit."""
RATIOS = tuple(float(p) for p in np.geomspace(0.02, 50.0, 64))
"""Ratios of the budgeted sweep; beyond them nearly everything leaves at one end, which single exits cover."""
QUANTILES = 64


class Candidate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Thresholds of all exits and what they do on the calibration split.

    Parameters
    ----------
    family
        How the thresholds were found: ``single_exit``, ``budgeted`` (geometric exit distribution), ``shared`` (one
        confidence for all open exits) or ``solved`` (for a budget that was asked for).
    thresholds, exit_shares
        E numbers each.
    mean_macs
        Mean executed MACs.
    accuracy
        Share of right answers, 0..1.
    """

    family: str
    thresholds: tuple[float, ...]
    mean_macs: float
    accuracy: float
    exit_shares: tuple[float, ...]


def judge(table: ExitTable, family: str, thresholds: tuple[float, ...]) -> Candidate:
    """Candidate of these thresholds, measured on the table's split."""
    outcome = table.outcome(thresholds)
    return Candidate(
        family=family,
        thresholds=thresholds,
        mean_macs=outcome.mean_macs,
        accuracy=outcome.accuracy,
        exit_shares=outcome.exit_shares,
    )


def generate_candidates(table: ExitTable) -> Iterator[Candidate]:
    """All candidates: for every range of exits, the budgeted sweep and one shared confidence at observed quantiles."""
    for first in range(table.n_exits):
        for last in range(first, table.n_exits):
            if first == last:
                yield judge(table, "single_exit", _within(table.n_exits, first, (ALWAYS,)))
                continue
            scores = table.scores[first : last + 1]
            for ratio in RATIOS:
                found = thresholds_for_distribution(scores, exit_distribution(ratio, len(scores)))
                yield judge(table, "budgeted", _within(table.n_exits, first, (*found[:-1], ALWAYS)))
            # observed values, not values between them: a threshold is then the score of a spectrum that leaves
            levels = np.quantile(scores[:-1], np.linspace(0.0, 1.0, QUANTILES), method="higher")
            for level in np.unique(levels).tolist():
                shared = (*(level,) * (len(scores) - 1), ALWAYS)
                yield judge(table, "shared", _within(table.n_exits, first, shared))


def pareto_front(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """Candidates that no other beats in both cost and accuracy, cheapest first; the simplest family among equals."""
    front: list[Candidate] = []
    for candidate in sorted(candidates, key=lambda c: (c.mean_macs, -c.accuracy)):
        if not front or candidate.accuracy > front[-1].accuracy:
            front.append(candidate)
    return tuple(front)


def _within(n_exits: int, first: int, thresholds: tuple[float, ...]) -> tuple[float, ...]:
    """Thresholds of all exits, from those of a range that begins at `first`; all others are closed."""
    return (NEVER,) * first + thresholds + (NEVER,) * (n_exits - first - len(thresholds))
