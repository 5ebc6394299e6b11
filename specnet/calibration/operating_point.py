"""Choosing one operating point among candidates, on the calibration split alone."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from specnet.calibration.candidates import Candidate
from specnet.errors import ConfigurationError

TOLERANCE = 0.003
"""Accuracy given up for compute by default: 0.3 points."""
FAST_TOLERANCE = 0.02
_ROUNDING = 1e-9  # accuracies are ratios of whole numbers; 0.9 - 0.003 may come out above an equal 0.897


class OperatingPoint(StrEnum):
    """Names of operating points.

    `DEFAULT` is the least mean cost within 0.3 points of the best accuracy reached at any cost; `FAST` the same within
    2 points; `ACCURATE` the best accuracy; `BUDGET`, `MIN_ACCURACY` and `RISK` are what a user asked for. Accuracies
    are compared by cross-fitted estimates that vary less than counts of right answers (`Candidate.merit`).
    """

    DEFAULT = "default"
    FAST = "fast"
    ACCURATE = "accurate"
    BUDGET = "budget"
    MIN_ACCURACY = "min_accuracy"
    RISK = "risk"


def cheapest_near_best(candidates: Sequence[Candidate], tolerance: float = TOLERANCE) -> Candidate:
    """Least mean cost among candidates within `tolerance` of the best merit, luck allowed for; the better of equals."""
    best = max(candidate.merit for candidate in candidates)
    good = [candidate for candidate in candidates if candidate.cautious_merit >= best - tolerance - _ROUNDING]
    return min(good, key=lambda candidate: (candidate.mean_macs, -candidate.merit))


def best_within_budget(candidates: Sequence[Candidate], mean_macs: float) -> Candidate:
    """Best merit among candidates whose mean cost is at most a budget; the cheaper of equals.

    Raises
    ------
    ConfigurationError
        When no candidate is as cheap.
    """
    affordable = [candidate for candidate in candidates if candidate.mean_macs <= mean_macs]
    if not affordable:
        costs = [candidate.mean_macs for candidate in candidates]
        raise ConfigurationError(
            f"a budget of {mean_macs:,.0f} MACs a spectrum cannot be met: this network needs {min(costs):,.0f} to "
            f"{max(costs):,.0f}"
        )
    return max(affordable, key=lambda candidate: (candidate.merit, -candidate.mean_macs))


def cheapest_with_accuracy(candidates: Sequence[Candidate], accuracy: float) -> Candidate:
    """Least mean cost among candidates that reach an accuracy, by their merit too where any does; the better of equals.

    Raises
    ------
    ConfigurationError
        When `accuracy` is no share or no candidate reaches it.
    """
    if not 0.0 < accuracy <= 1.0:
        raise ConfigurationError(f"an accuracy is a share above 0 and at most 1, got {accuracy}")
    good = [candidate for candidate in candidates if candidate.accuracy >= accuracy - _ROUNDING]
    if not good:
        best = max(candidate.accuracy for candidate in candidates)
        raise ConfigurationError(f"accuracy {accuracy:.4f} is not reached at any cost; the best is {best:.4f}")
    trusted = [candidate for candidate in good if candidate.merit >= accuracy - _ROUNDING]
    return min(trusted or good, key=lambda candidate: (candidate.mean_macs, -candidate.merit))


def budget_in_macs(budget: float, static_macs: int) -> float:
    """Turn a budget into MACs: a number up to 1 is a share of the full network, a larger one is MACs already.

    Raises
    ------
    ConfigurationError
        When it is not positive.
    """
    if not 0 < budget < float("inf"):
        raise ConfigurationError(f"a budget is a share (0 to 1) of the full network or a number of MACs, got {budget}")
    return budget * static_macs if budget <= 1 else float(budget)
