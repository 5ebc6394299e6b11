"""Exit policies worth considering, judged on the calibration split.

A candidate lets spectra leave at the exits ``first .. last`` of a contiguous range only. Closing the exits before
`first` is how a poor early exit is shut; making everybody leave at `last` is how depth that does not help is never
bought; ``first == last`` is a single-exit solution. Ranges instead of all subsets, because every further choice made
on the same spectra makes the best of them look better than it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from specnet.calibration.budget import exit_distribution, thresholds_for_distribution
from specnet.calibration.exit_table import ExitTable
from specnet.calibration.recipe import HeldOutMerit
from specnet.calibration.schedule import POWERS, scheduled_shares
from specnet.exits import NEVER

ALWAYS = -1.0
"""A threshold that every score reaches: nothing goes past this exit."""
RATIOS = tuple(float(p) for p in np.geomspace(0.02, 50.0, 64))
"""Ratios of the budgeted sweep; beyond them nearly everything leaves at one end, which single exits cover."""
QUANTILES = 64
CAUTION = 0.5
"""Standard errors by which a candidate is marked down against the best one: luck should not look like thrift."""


class Candidate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Thresholds of all exits and what they do on the calibration split.

    Parameters
    ----------
    family
        How the thresholds were found: ``single_exit``, ``budgeted`` (geometric exit distribution), ``scheduled``
        (assignment by scores), ``shared`` (one confidence for all open exits) or ``solved`` (for a budget that was
        asked for).
    thresholds, exit_shares
        E numbers each.
    mean_macs
        Mean executed MACs.
    accuracy
        Share of right answers, 0..1.
    estimate
        Cross-fitted estimate of the accuracy (`specnet.calibration.recipe.HeldOutMerit`), by which candidates are
        compared; None in calibrations that were made without.
    uncertainty
        Standard error of the difference from the best estimate, spectrum by spectrum.
    """

    family: str
    thresholds: tuple[float, ...]
    mean_macs: float
    accuracy: float
    exit_shares: tuple[float, ...]
    estimate: float | None = None
    uncertainty: float = 0.0

    @property
    def merit(self) -> float:
        """What candidates are ranked by: the estimate where there is one, else the accuracy."""
        return self.accuracy if self.estimate is None else self.estimate

    @property
    def cautious_merit(self) -> float:
        """The merit, marked down by what of it may be luck."""
        return self.merit - CAUTION * self.uncertainty


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


def generate_candidates(table: ExitTable, *, scheduled: bool = False) -> Iterator[Candidate]:
    """All candidates: for every range of exits, the budgeted sweep and one shared confidence at observed quantiles.

    `scheduled` adds the assignments of `specnet.calibration.schedule`.
    """
    for first in range(table.n_exits):
        for last in range(first, table.n_exits):
            if first == last:
                yield judge(table, "single_exit", _within(table.n_exits, first, (ALWAYS,)))
                continue
            scores = table.scores[first : last + 1]
            distributions = [("budgeted", exit_distribution(ratio, len(scores))) for ratio in RATIOS]
            if scheduled:
                distributions += [("scheduled", scheduled_shares(scores, power)) for power in POWERS]
            for family, shares in distributions:
                found = thresholds_for_distribution(scores, shares)
                if not _all_leave(scores, found[0]):
                    yield judge(table, family, _within(table.n_exits, first, (*found[:-1], ALWAYS)))
            # observed values, not values between them: a threshold is then the score of a spectrum that leaves
            levels = np.quantile(scores[:-1], np.linspace(0.0, 1.0, QUANTILES), method="higher")
            for level in np.unique(levels).tolist():
                if not _all_leave(scores, level):
                    shared = (*(level,) * (len(scores) - 1), ALWAYS)
                    yield judge(table, "shared", _within(table.n_exits, first, shared))


def estimate_merits(candidates: Sequence[Candidate], held: HeldOutMerit) -> list[Candidate]:
    """Add estimates and their uncertainty to candidates."""
    means = [float(held.taken(candidate.thresholds).mean(dtype=np.float64)) for candidate in candidates]
    best = held.taken(candidates[int(np.argmax(means))].thresholds)
    scale = np.sqrt(len(best))
    return [
        msgspec.structs.replace(
            candidate,
            estimate=mean,
            uncertainty=float((held.taken(candidate.thresholds) - best).std(dtype=np.float64) / scale),
        )
        for candidate, mean in zip(candidates, means, strict=True)
    ]


def pareto_front(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """Candidates that no other beats in both cost and merit, cheapest first; the simplest family among equals."""
    front: list[Candidate] = []
    for candidate in sorted(candidates, key=lambda c: (c.mean_macs, -c.merit)):
        if not front or candidate.merit > front[-1].merit:
            front.append(candidate)
    return tuple(front)


def _all_leave(scores: NDArray[np.float32], threshold: float) -> bool:
    """Whether nothing passes the first of these exits: a single exit in disguise, fitted to its worst spectrum."""
    return bool((scores[0] >= np.float32(threshold)).all())


def _within(n_exits: int, first: int, thresholds: tuple[float, ...]) -> tuple[float, ...]:
    """Thresholds of all exits, from those of a range that begins at `first`; all others are closed."""
    return (NEVER,) * first + thresholds + (NEVER,) * (n_exits - first - len(thresholds))
