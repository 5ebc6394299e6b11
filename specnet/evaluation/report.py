"""The evaluation report: what each exit, each budget and the operating point achieve on the test split.

Thresholds always come from the calibration split; the test split is only measured. Field names are a fixed contract
of ``specnet evaluate --json``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from specnet.calibration import CachedLogits, Calibration, thresholds_for_budget
from specnet.errors import ModelError
from specnet.evaluation.depth import DepthMaps
from specnet.evaluation.metrics import accuracy, balanced_accuracy, expected_calibration_error
from specnet.evaluation.worth import worth_of_run
from specnet.exits import ExitPolicy, Routing, route

BUDGET_SHARES = (0.01, 0.03, 0.06, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.65, 0.8, 0.9)
"""Budgets as shares of the full network, fixed so that networks compare; those a network can spend are reported."""


def evaluate(
    test: CachedLogits,
    calibration: Calibration,
    calibration_split: CachedLogits,
    *,
    classes: Sequence[str],
    split_by: str,
    depth: DepthMaps | None = None,
    cumulative_us: Sequence[float] | None = None,
    peaks: tuple[NDArray[np.bool_], Sequence[int]] | None = None,
    linear_exit: bool = False,
) -> dict[str, Any]:
    """Measure a calibrated network on the test split.

    Parameters
    ----------
    test
        Cached logits of the test split.
    calibration
        Temperatures, combiner and operating point, fitted before.
    calibration_split
        Cached logits of the calibration split, on which budget thresholds are solved.
    classes
        C class names.
    split_by
        Column that the splits were grouped by; empty for ungrouped.
    depth
        Depth maps of the test split, for the active share.
    cumulative_us
        E median times in microseconds until each exit has answered, one spectrum at a time.
    peaks
        Where true bands are known: the points ``(C, L)`` of the model's axis that are on a band of each class, and the
        MACs of one residual unit at one position for each stage.
    linear_exit
        Whether exit 0 is a linear model, which the network is then compared with.

    Returns
    -------
    dict
        JSON document. In ``exits``, ``accuracy``, ``balanced_accuracy`` and ``ece`` judge the exit's own tempered
        prediction, those beginning with ``combined_`` what a spectrum leaving there would be told; ``macs`` is the
        mean really executed. ``static`` is the last exit's own prediction; everything below judges combined ones.
        ``budgeted`` spends each budget as the MSDNet procedure does; ``within_budget`` is the best that calibration
        found for at most that cost, which may be far less where deeper exits do not help. ``mean_us`` is None without
        times, ``active_share`` without depth maps. ``risk`` is what calibration promises of the operating point,
        ``rejection`` the reject rule and the share of the test split that it rejects although its classes are known;
        each None where there is none. ``compute_on_peaks`` (`ComputeOnPeaks`, as fields) needs peaks and depth maps,
        and is None when no unit ran; the same ``_at_last_exit`` is what the depth maps show. ``worth`` (`Worth`) needs
        a linear exit 0. ``calibration_current`` is false when the calibration was made with other data or another
        training of the network.

    Raises
    ------
    ModelError
        When logits, calibration, classes, depths and times do not belong together.
    """
    _require_agreement(test, calibration, calibration_split, classes, depth, cumulative_us)
    policy = calibration.policy
    routing = route(policy, test.logits)
    exits = [_exit_entry(test, routing, k) for k in range(test.n_exits)]
    budgets = _budgets(calibration_split)
    return {
        "classes": list(classes),
        "n_test": test.n_spectra,
        "exits": exits,
        "static_macs": test.static_macs,
        "static": {key: exits[-1][key] for key in ("accuracy", "balanced_accuracy", "ece")},
        "budgeted": [_solved(test, calibration_split, policy, budget) for budget in budgets],
        "within_budget": [_chosen(test, calibration, budget) for budget in budgets],
        "operating_point": _operating_point(test, calibration, routing, depth, cumulative_us),
        "combiner": policy.combiner,
        "score": policy.score,
        "additive": policy.additive,
        "risk": None if calibration.risk is None else msgspec.to_builtins(calibration.risk),
        "rejection": _rejection(calibration, routing),
        "compute_on_peaks": _on_peaks(test, routing.exit_index, depth, peaks),
        "compute_on_peaks_at_last_exit": _on_peaks(test, np.full(test.n_spectra, test.n_exits - 1), depth, peaks),
        "worth": asdict(worth_of_run(test, routing)) if linear_exit else None,
        "temperatures": list(policy.temperatures),
        "class_bias": bool(policy.biases),
        "n_calibration": calibration_split.n_spectra,
        "calibration_current": calibration.describes(calibration_split),
        "split_by": split_by,
    }


def _require_agreement(
    test: CachedLogits,
    calibration: Calibration,
    calibration_split: CachedLogits,
    classes: Sequence[str],
    depth: DepthMaps | None,
    cumulative_us: Sequence[float] | None,
) -> None:
    n_exits, n_classes = test.n_exits, test.n_classes
    if calibration.policy.n_exits != n_exits:
        raise ModelError(
            f"the calibration has {calibration.policy.n_exits} exits, the network {n_exits}: calibrate this run again"
        )
    if (calibration_split.n_exits, calibration_split.n_classes) != (n_exits, n_classes):
        raise ModelError(
            f"calibration logits have {calibration_split.n_exits} exits and {calibration_split.n_classes} classes, "
            f"test logits {n_exits} and {n_classes}"
        )
    if len(classes) != n_classes:
        raise ModelError(f"got {len(classes)} class names for {n_classes} classes")
    if depth is not None and (depth.n_spectra, len(depth.units)) != (test.n_spectra, n_exits - 1):
        raise ModelError(
            f"depth maps are of {depth.n_spectra} spectra and {len(depth.units)} stages, expected {test.n_spectra} and "
            f"{n_exits - 1}"
        )
    if cumulative_us is not None and len(cumulative_us) != n_exits:
        raise ModelError(f"got {len(cumulative_us)} times for {n_exits} exits")


def _exit_entry(test: CachedLogits, routing: Routing, k: int) -> dict[str, Any]:
    own, combined = routing.own_probabilities[k], routing.all_probabilities[k]
    entry: dict[str, Any] = {"exit": k, "macs": float(test.macs[k].mean())}
    for prefix, probabilities in (("", own), ("combined_", combined)):
        predicted = probabilities.argmax(axis=1)
        entry[f"{prefix}accuracy"] = accuracy(test.labels, predicted)
        entry[f"{prefix}balanced_accuracy"] = balanced_accuracy(test.labels, predicted, test.n_classes)
        entry[f"{prefix}ece"] = expected_calibration_error(probabilities, test.labels)
    return entry


def _rejection(calibration: Calibration, routing: Routing) -> dict[str, Any] | None:
    if not calibration.policy.reject:
        return None
    return {
        "score": calibration.policy.reject,
        "threshold": calibration.policy.reject_threshold,
        "promised_false_alarm": None if calibration.reject is None else calibration.reject.false_alarm,
        "false_alarm": float((~routing.known).mean()),
    }


def _on_peaks(
    test: CachedLogits,
    exit_index: NDArray[np.int64],
    depth: DepthMaps | None,
    peaks: tuple[NDArray[np.bool_], Sequence[int]] | None,
) -> dict[str, float] | None:
    if depth is None or peaks is None:
        return None
    regions, unit_macs = peaks
    found = depth.compute_on_peaks(regions, test.labels, unit_macs, exit_index)
    return None if found is None else asdict(found)


def _routed_entry(test: CachedLogits, routing: Routing) -> dict[str, Any]:
    """Measure a split whose spectra leave where a policy says."""
    predicted = routing.probabilities.argmax(axis=1)
    counts = np.bincount(routing.exit_index, minlength=test.n_exits)
    return {
        "mean_macs": float(test.macs[routing.exit_index, np.arange(test.n_spectra)].mean()),
        "accuracy": accuracy(test.labels, predicted),
        "balanced_accuracy": balanced_accuracy(test.labels, predicted, test.n_classes),
        "exit_shares": (counts / test.n_spectra).tolist(),
    }


def _budgets(split: CachedLogits) -> list[float]:
    """Mean MACs from what exit 0 costs to what the last exit costs."""
    low, high = float(split.macs[0].mean()), float(split.macs[-1].mean())
    return [low, *(macs for share in BUDGET_SHARES if low < (macs := share * split.static_macs) < high), high]


def _solved(test: CachedLogits, calibration_split: CachedLogits, policy: ExitPolicy, budget: float) -> dict[str, Any]:
    solved = thresholds_for_budget(calibration_split, policy, budget)
    entry = _routed_entry(test, route(solved, test.logits))
    return {"budget": budget, **entry, "thresholds": list(solved.thresholds)}


def _chosen(test: CachedLogits, calibration: Calibration, budget: float) -> dict[str, Any]:
    # the merit rises along the front, so the dearest affordable candidate is the best; with a calibration of another
    # split even the cheapest may be over the budget by a little
    affordable = [candidate for candidate in calibration.front if candidate.mean_macs <= budget]
    thresholds = (affordable or calibration.front[:1])[-1].thresholds
    policy = msgspec.structs.replace(calibration.policy, thresholds=thresholds)
    return {"budget": budget, **_routed_entry(test, route(policy, test.logits)), "thresholds": list(thresholds)}


def _operating_point(
    test: CachedLogits,
    calibration: Calibration,
    routing: Routing,
    depth: DepthMaps | None,
    cumulative_us: Sequence[float] | None,
) -> dict[str, Any]:
    entry = _routed_entry(test, routing)
    mean_us = None if cumulative_us is None else float(np.dot(entry["exit_shares"], cumulative_us))
    return {
        "name": calibration.chosen,
        **entry,
        "mean_us": mean_us,
        "active_share": None if depth is None else depth.active_share(routing.exit_index),
        "mac_share": entry["mean_macs"] / test.static_macs,
        "ece": expected_calibration_error(routing.probabilities, test.labels),
        "thresholds": list(calibration.policy.thresholds),
        "calibration_accuracy": calibration.accuracy,
    }
