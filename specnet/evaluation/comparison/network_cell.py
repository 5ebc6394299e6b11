"""A network recipe with one seed on one fold: trained, calibrated, evaluated and timed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from specnet.calibration import calibrate
from specnet.datasets import Holdout
from specnet.evaluation.comparison.cell import Task
from specnet.evaluation.comparison.methods import training_of
from specnet.evaluation.depth import DepthMaps
from specnet.evaluation.report import evaluate
from specnet.export import last_exit_us
from specnet.files import write_json
from specnet.nn import ExitNetwork, SpecNet
from specnet.training import find_recipe, trained_once

OPERATING_POINT, QUARTER, EXIT_0, LAST_EXIT = "operating point", "quarter of budget", "exit 0 alone", "last exit"
TIMED_SPECTRA = 16


def network_result(task: Task) -> dict[str, Any]:
    """Train or continue, then measure on the test part: fields of a `Cell`.

    Raises
    ------
    SpecnetError
        When data and recipe do not fit.
    """
    recipe = find_recipe(task.method)
    trained_as = replace(task, method=training_of(task.method, task.config)).name
    config = recipe.config(task.config)
    run = trained_once(task.data, task.out / "runs", trained_as, config, data_sha256=task.data_sha256)
    held = run.cache(task.data, Holdout.CALIBRATION).logits
    test = run.cache(task.data, Holdout.TEST)
    judged, times = test.logits, run.measure_us(spectra=test.spectra[:TIMED_SPECTRA])
    depth = DepthMaps(test.depths, test.units) if test.units else None
    if not recipe.linear_exit and run.network.exit0 is not None:
        held, judged, depth = held.without_first_exit(), judged.without_first_exit(), None
        times = [us - times[0] for us in times[1:]]
    calibration = calibrate(held, additive=run.additive, score=recipe.score, combiner=recipe.combiner)
    if held.n_exits == run.network.n_exits:
        calibration.write(run.calibration_path)
    report = evaluate(
        judged,
        calibration,
        held,
        classes=run.classes,
        split_by=run.split_by,
        depth=depth,
        cumulative_us=times,
        linear_exit=recipe.linear_exit and run.network.exit0 is not None,
    )
    write_json(run.path / "evaluation.json", report)
    rows, curve = network_rows(report, times), budget_curve(report, times)
    if recipe.static:  # deployed without early exits, so it does not pay for them
        last, us = rows[-1], last_exit_us(run.network, test.spectra[:TIMED_SPECTRA])
        rows, curve = [{**last, "macs": last["macs"] - shallow_exit_macs(run.network), "us": us}], []
    return {
        "kind": "network",
        "runtime": "ONNX Runtime",
        "rows": rows,
        "curve": curve,
        "detail": {
            "run": str(run.path.relative_to(task.out)),
            "training_seconds": run.provenance.get("seconds"),
            "parameters": sum(parameter.numel() for parameter in run.network.parameters()),
            "cumulative_us": times,
            "split": run.split_origin,
            "report": {key: value for key, value in report.items() if key != "classes"},
        },
    }


def network_rows(report: dict[str, Any], cumulative_us: Sequence[float]) -> list[dict[str, Any]]:
    """Judge a network in four ways: as calibrated, at a quarter of its budget, at its last exit and at exit 0 alone.

    Exit 0 where it is linear: with the corrections of calibration it is the simple model that depth has to beat.
    """
    first, last = ({**report["exits"][index], "us": cumulative_us[index]} for index in (0, -1))
    last |= report["static"]
    rows = [_routed(OPERATING_POINT, report["operating_point"], cumulative_us)]
    affordable = [entry for entry in report["within_budget"] if entry["budget"] <= report["static_macs"] / 4]
    if affordable:
        rows.append(_routed(QUARTER, max(affordable, key=lambda entry: float(entry["budget"])), cumulative_us))
    keys = ("accuracy", "balanced_accuracy", "macs", "us")
    if report["worth"] is not None:
        rows.append({"variant": EXIT_0, **{key: first[key] for key in keys}})
    return [*rows, {"variant": LAST_EXIT, **{key: last[key] for key in keys}}]


def budget_curve(report: dict[str, Any], cumulative_us: Sequence[float]) -> list[dict[str, float]]:
    """Best accuracy within each budget, by the budget's share of the full network."""
    return [
        {
            "share": round(entry["budget"] / report["static_macs"], 4),
            "accuracy": entry["accuracy"],
            "macs": entry["mean_macs"],
            "us": _mean_us(entry, cumulative_us),
        }
        for entry in report["within_budget"]
    ]


def shallow_exit_macs(network: ExitNetwork) -> int:
    """MACs of exit 0 and of the heads before the last one."""
    exit0 = 0 if network.exit0 is None else network.exit0.macs
    if not isinstance(network, SpecNet):
        return exit0
    return exit0 + sum(network.head(k).macs for k in range(1, network.config.n_stages))


def _routed(variant: str, entry: dict[str, Any], cumulative_us: Sequence[float]) -> dict[str, Any]:
    return {
        "variant": variant,
        "accuracy": entry["accuracy"],
        "balanced_accuracy": entry["balanced_accuracy"],
        "macs": entry["mean_macs"],
        "us": _mean_us(entry, cumulative_us),
    }


def _mean_us(entry: dict[str, Any], cumulative_us: Sequence[float]) -> float:
    return float(np.dot(entry["exit_shares"], cumulative_us))
