"""Calibration from cached logits: temperatures, then the combiner, then thresholds."""

from __future__ import annotations

import msgspec

from specnet.calibration.budget import solve_budget
from specnet.calibration.cached import CachedLogits
from specnet.calibration.candidates import Candidate, generate_candidates, judge, pareto_front
from specnet.calibration.combiner import choose_combiner, combiner_likelihoods, fit_combination
from specnet.calibration.exit_table import ExitTable
from specnet.calibration.operating_point import (
    FAST_TOLERANCE,
    OperatingPoint,
    best_within_budget,
    budget_in_macs,
    cheapest_near_best,
    cheapest_with_accuracy,
)
from specnet.calibration.result import Calibration
from specnet.errors import ConfigurationError
from specnet.exits import ExitPolicy


def calibrate(
    cached: CachedLogits,
    *,
    budget: float | None = None,
    min_accuracy: float | None = None,
    score: str = "max_probability",
) -> Calibration:
    """Fit everything that is decided after training.

    Parameters
    ----------
    cached
        The calibration split; nothing here ever sees test data.
    budget
        Largest mean cost: a share of the full network (up to 1) or a number of MACs (above 1). The best accuracy
        within it is chosen.
    min_accuracy
        Least accuracy on the calibration split, 0..1. The cheapest way to reach it is chosen.
    score
        Confidence that is compared with the thresholds, a name in `specnet.exits.SCORES`.

    Returns
    -------
    Calibration
        With neither option the default operating point is in force: the least mean cost whose accuracy is within 0.3
        points of the best that the network reaches at any cost.

    Raises
    ------
    ConfigurationError
        When both options are given, or what is asked for cannot be had.
    """
    if budget is not None and min_accuracy is not None:
        raise ConfigurationError(f"choose by budget ({budget}) or by accuracy ({min_accuracy}), not by both")
    likelihoods = combiner_likelihoods(cached)
    base = fit_combination(cached, choose_combiner(likelihoods))
    base = msgspec.structs.replace(base, score=score)
    table = ExitTable.of(cached, base)
    candidates = list(generate_candidates(table))
    points = {
        OperatingPoint.DEFAULT: cheapest_near_best(candidates),
        OperatingPoint.FAST: cheapest_near_best(candidates, FAST_TOLERANCE),
        OperatingPoint.ACCURATE: cheapest_near_best(candidates, 0.0),
    }
    chosen = OperatingPoint.DEFAULT
    if budget is not None:
        chosen = OperatingPoint.BUDGET
        macs = budget_in_macs(budget, cached.static_macs)
        candidates.append(judge(table, "solved", solve_budget(table, macs)))
        points[chosen] = best_within_budget(candidates, macs)
    elif min_accuracy is not None:
        chosen = OperatingPoint.MIN_ACCURACY
        points[chosen] = cheapest_with_accuracy(candidates, min_accuracy)
    return Calibration(
        n_spectra=cached.n_spectra,
        static_macs=cached.static_macs,
        combiner_nll=likelihoods,
        front=pareto_front(candidates),
        operating_points={str(name): _policy(base, candidate) for name, candidate in points.items()},
        chosen=str(chosen),
        mean_macs=points[chosen].mean_macs,
        accuracy=points[chosen].accuracy,
    )


def _policy(base: ExitPolicy, candidate: Candidate) -> ExitPolicy:
    return msgspec.structs.replace(base, thresholds=candidate.thresholds)
