"""Calibration from cached logits: temperatures, biases, the combiner, thresholds, then what carries a guarantee."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np

from specnet.calibration.budget import solve_budget
from specnet.calibration.cached import CachedLogits
from specnet.calibration.candidates import Candidate, estimate_merits, generate_candidates, judge, pareto_front
from specnet.calibration.combiner import AUTO, Combination, choose_combination
from specnet.calibration.exit_table import ExitTable
from specnet.calibration.folds import stratified_folds
from specnet.calibration.operating_point import (
    FAST_TOLERANCE,
    OperatingPoint,
    best_within_budget,
    budget_in_macs,
    cheapest_near_best,
    cheapest_with_accuracy,
)
from specnet.calibration.recipe import HeldOutMerit, Recipe
from specnet.calibration.reject import RejectControl, conformal_threshold
from specnet.calibration.result import Calibration
from specnet.calibration.risk import RiskMethod, control_risk
from specnet.errors import ConfigurationError
from specnet.exits import COMBINERS, SCORES, ExitPolicy, route

SCHEDULE = "schedule"
"""Score whose thresholds may also be those of its own assignment."""
_HOLDING_SEED = 1


@dataclass(frozen=True)
class _Parts:
    """The calibration split, cut so that each guarantee rests on spectra that nothing else was fitted on.

    Nor was anything fitted on others of their groups: a promise is one for new samples.
    """

    fitting: CachedLogits
    risk: CachedLogits | None
    reject: CachedLogits | None

    @classmethod
    def of(cls, cached: CachedLogits, *, risk: bool, reject: bool) -> _Parts:
        n_parts = 1 + risk + reject
        if n_parts == 1:
            return cls(cached, None, None)
        if cached.n_units < n_parts:
            what = "spectra" if cached.groups is None else "groups"
            raise ConfigurationError(f"a guarantee needs {n_parts} calibration {what} at least, got {cached.n_units}")
        folds = stratified_folds(cached.labels, n_parts, _HOLDING_SEED, cached.groups)
        # a betting bound sees spectra one after the other; shuffled, their order says nothing of their class
        rng = np.random.default_rng(_HOLDING_SEED)
        parts = [cached.take(rng.permutation(np.flatnonzero(folds == part))) for part in range(n_parts)]
        return cls(parts[0], parts[1] if risk else None, parts[-1] if reject else None)


def calibrate(
    cached: CachedLogits,
    *,
    budget: float | None = None,
    min_accuracy: float | None = None,
    max_risk: float | None = None,
    confidence: float = 0.95,
    risk_method: RiskMethod | str = RiskMethod.UCB,
    false_alarm: float | None = None,
    reject_score: str = "improbability",
    score: str = "max_probability",
    combiner: str = AUTO,
    class_bias: bool | None = None,
    additive: bool = False,
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
    max_risk
        Accuracy that may be lost against the last exit, with a guarantee (`specnet.calibration.risk`). Half of the
        split is then held back from everything else.
    confidence, risk_method
        Probability of keeping that promise, and a `RiskMethod`.
    false_alarm
        Largest share of spectra of known classes that is called unknown; sets the reject rule of every operating
        point. A part of the split, as large as that for anything else, is held back for it.
    reject_score
        What the reject rule looks at, a name in `specnet.exits.REJECT_SCORES`.
    score
        Confidence that is compared with the thresholds, a name in `specnet.exits.SCORES`, or ``auto`` for the one
        whose default operating point is the cheapest.
    combiner
        What exits answer together, a name in `specnet.exits.COMBINERS`, or ``auto`` for the likeliest.
    class_bias
        Whether every class gets a bias at every exit; None where the split is surely likelier with them, see
        `specnet.calibration.class_bias`.
    additive
        Whether exits after exit 0 of this network add to its logits.

    Returns
    -------
    Calibration
        With no option the default operating point is in force: the least mean cost whose accuracy is within 0.3
        points of the best that the network reaches at any cost, both estimated by cross-fitting.

    Raises
    ------
    ConfigurationError
        When options contradict each other, or what is asked for cannot be had. A risk that so few spectra cannot
        support is no error: nothing leaves early then, and `Calibration.notes` says so.
    """
    given = {"budget": budget, "accuracy": min_accuracy, "risk": max_risk}
    wishes = [f"{name} ({value})" for name, value in given.items() if value is not None]
    if len(wishes) > 1:
        raise ConfigurationError(f"choose by {' or by '.join(wishes)}, not by both")
    if combiner not in (AUTO, *COMBINERS):
        raise ConfigurationError(f"unknown combiner {combiner!r}; known: {', '.join((AUTO, *COMBINERS))}")
    parts = _Parts.of(cached, risk=max_risk is not None, reject=false_alarm is not None)
    combination = choose_combination(parts.fitting, additive=additive, combiner=combiner, biased=class_bias)
    base, table, candidates, merits = _judged(parts.fitting, combination, score, additive)
    points = {
        OperatingPoint.DEFAULT: cheapest_near_best(candidates),
        OperatingPoint.FAST: cheapest_near_best(candidates, FAST_TOLERANCE),
        OperatingPoint.ACCURATE: cheapest_near_best(candidates, 0.0),
    }
    chosen, risk = OperatingPoint.DEFAULT, None
    if budget is not None:
        chosen = OperatingPoint.BUDGET
        macs = budget_in_macs(budget, cached.static_macs)
        solved = judge(table, "solved", solve_budget(table, macs))
        candidates = estimate_merits([*candidates, solved], merits)
        points[chosen] = best_within_budget(candidates, macs)
    elif min_accuracy is not None:
        chosen = OperatingPoint.MIN_ACCURACY
        points[chosen] = cheapest_with_accuracy(candidates, min_accuracy)
    elif max_risk is not None:
        assert parts.risk is not None
        chosen = OperatingPoint.RISK
        held = ExitTable.of(parts.risk, base)
        risk = control_risk(table, held, max_risk, confidence=confidence, method=risk_method)
        points[chosen] = judge(table, "risk", (*(risk.threshold,) * (base.n_exits - 1), 0.0))
    policies = {
        str(name): msgspec.structs.replace(base, thresholds=candidate.thresholds) for name, candidate in points.items()
    }
    reject = None
    if false_alarm is not None:
        assert parts.reject is not None
        policies = {
            name: _rejecting(policy, parts.reject, false_alarm, reject_score) for name, policy in policies.items()
        }
        reject = RejectControl(
            false_alarm=false_alarm,
            score=reject_score,
            n_reject=parts.reject.n_spectra,
            least_false_alarm=1.0 / (parts.reject.n_spectra + 1),
        )
    outcome = ExitTable.of(cached, policies[chosen]).outcome(policies[chosen].thresholds)
    return Calibration(
        n_spectra=cached.n_spectra,
        static_macs=cached.static_macs,
        combiner_nll=combination.likelihoods,
        bias_gain=combination.bias_gain,
        front=pareto_front(candidates),
        operating_points=policies,
        chosen=str(chosen),
        mean_macs=outcome.mean_macs,
        accuracy=outcome.accuracy,
        risk=risk,
        reject=reject,
    )


def _judged(
    cached: CachedLogits, combination: Combination, score: str, additive: bool
) -> tuple[ExitPolicy, ExitTable, list[Candidate], HeldOutMerit]:
    """Fitted policy, its table, candidates and merits, for one score or for the one whose default point is cheapest."""
    found = {}
    for name in SCORES if score == AUTO else (score,):
        recipe = Recipe(combination.combiner, name, additive, combination.biased)
        base = recipe.fit(cached)
        table = ExitTable.of(cached, base)
        merits = HeldOutMerit.of(cached, recipe)
        candidates = list(generate_candidates(table, scheduled=name == SCHEDULE))
        found[name] = base, table, estimate_merits(candidates, merits), merits
    pooled = [candidate for one in found.values() for candidate in one[2]]
    choice = cheapest_near_best(pooled)
    return next(one for one in found.values() if any(candidate is choice for candidate in one[2]))


def _rejecting(policy: ExitPolicy, held: CachedLogits, false_alarm: float, score: str) -> ExitPolicy:
    judged = msgspec.structs.replace(policy, reject=score)
    threshold = conformal_threshold(route(judged, held.logits).reject_scores, false_alarm)
    return msgspec.structs.replace(judged, reject_threshold=threshold)
