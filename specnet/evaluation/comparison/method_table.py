"""Early-exit methods side by side: every exit, and what a budget buys."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from specnet.evaluation.comparison.cell import Cell
from specnet.evaluation.comparison.spread import Place, Spread
from specnet.files import write_bytes

BUDGETS = (0.10, 0.25, 0.50, 1.00)
"""Shares of the full network's MACs."""
REFERENCE = "joint"
"""What others are compared with on the same seeds and folds: all exits trained alike."""


@dataclass(frozen=True)
class MethodRow:
    """One method over its cells.

    Parameters
    ----------
    method
        Its name.
    exits
        Accuracy of each exit's answer, combined with those before it.
    budgets
        Accuracy within each of `BUDGETS`; None where the first exit costs more.
    us
        Mean microseconds of a spectrum within each of them, one thread, batch 1.
    operating_point
        Accuracy of the operating point that calibration chose.
    operating_us
        Mean microseconds of a spectrum there.
    share
        Its MACs, as a share of the full network's.
    gain, quarter_gain
        Accuracy less that of `REFERENCE` on the same seeds and folds, at the operating point and within a quarter of
        the MACs; None where either has none.
    training_seconds
        From the file to the last step; that of the training it shares, for methods that differ in what is fitted later.
    """

    method: str
    exits: tuple[Spread, ...]
    budgets: tuple[Spread | None, ...]
    us: tuple[Spread | None, ...]
    operating_point: Spread
    operating_us: Spread
    share: Spread
    gain: Spread | None
    quarter_gain: Spread | None
    training_seconds: Spread | None


def method_rows(cells: Sequence[Cell]) -> list[MethodRow]:
    """Make a row for each network whose cells succeeded everywhere, in their order."""
    found = {}
    for method in dict.fromkeys(cell.method for cell in cells):
        own = [cell for cell in cells if cell.method == method]
        if all(not cell.error and cell.kind == "network" for cell in own):
            found[method] = own
    reference = found.get(REFERENCE, [])
    return [_row(method, own, reference) for method, own in found.items()]


def _bought(cells: Sequence[Cell], budget: float) -> dict[Place, tuple[float, float]]:
    """Accuracy and mean microseconds within a share of the MACs, where anything is."""
    within = {}
    for cell in cells:
        report, times = cell.detail["report"], cell.detail["cumulative_us"]
        affordable = [e for e in report["within_budget"] if e["budget"] <= budget * report["static_macs"]]
        if affordable:
            best = max(affordable, key=lambda entry: float(entry["budget"]))
            within[cell.seed, cell.fold] = best["accuracy"], float(np.dot(best["exit_shares"], times))
    return within


def _chosen(cells: Sequence[Cell]) -> dict[Place, float]:
    """Accuracy of the operating points."""
    return {(cell.seed, cell.fold): float(cell.detail["report"]["operating_point"]["accuracy"]) for cell in cells}


def _gain(own: dict[Place, float], reference: dict[Place, float], n: int) -> Spread | None:
    shared = {place: own[place] - reference[place] for place in own if place in reference}
    return Spread.of(shared) if len(shared) == n else None


def _accuracies(cells: Sequence[Cell]) -> dict[Place, float]:
    """Accuracy within a quarter of the MACs."""
    return {place: accuracy for place, (accuracy, _) in _bought(cells, 0.25).items()}


def _row(method: str, cells: Sequence[Cell], reference: Sequence[Cell]) -> MethodRow:
    reports = {(cell.seed, cell.fold): cell.detail["report"] for cell in cells}
    bought = {budget: _bought(cells, budget) for budget in BUDGETS}

    def over(part: int) -> tuple[Spread | None, ...]:
        return tuple(
            Spread.of({place: values[part] for place, values in within.items()}) if len(within) == len(cells) else None
            for within in bought.values()
        )

    def each(value: Callable[[dict[str, Any]], float]) -> Spread:
        return Spread.of({place: value(report) for place, report in reports.items()})

    n_exits = min(len(report["exits"]) for report in reports.values())
    seconds = {(cell.seed, cell.fold): cell.detail.get("training_seconds") for cell in cells}
    known = {place: float(value) for place, value in seconds.items() if value is not None}
    return MethodRow(
        method=method,
        exits=tuple(each(partial(_combined, exit_index=k)) for k in range(n_exits)),
        budgets=over(0),
        us=over(1),
        operating_point=Spread.of(_chosen(cells)),
        operating_us=Spread.of(
            {
                (cell.seed, cell.fold): float(
                    np.dot(cell.detail["report"]["operating_point"]["exit_shares"], cell.detail["cumulative_us"])
                )
                for cell in cells
            }
        ),
        share=each(lambda report: float(report["operating_point"]["mean_macs"] / report["static_macs"])),
        gain=_gain(_chosen(cells), _chosen(reference), len(cells)),
        quarter_gain=_gain(_accuracies(cells), _accuracies(reference), len(cells)),
        training_seconds=Spread.of(known) if len(known) == len(cells) else None,
    )


def _combined(report: dict[str, Any], exit_index: int) -> float:
    return float(report["exits"][exit_index]["combined_accuracy"])


def _head(rows: Sequence[MethodRow]) -> list[str]:
    """Names of the columns of `_line`."""
    exits = max((len(row.exits) for row in rows), default=0)
    return [
        "method",
        *(f"exit {k}" for k in range(exits)),
        *(f"{budget:.0%} of MACs" for budget in BUDGETS),
        *(f"us at {budget:.0%}" for budget in BUDGETS),
        "operating point",
        "its MACs",
        "its us",
        f"less {REFERENCE}",
        f"less {REFERENCE} at 25%",
        "training s",
    ]


def _line(row: MethodRow, head: Sequence[str]) -> list[str]:
    """Write means and standard errors of a row for people, accuracies in percent; exits count from the last."""
    exits = [percent(spread) for spread in row.exits]
    missing = sum(name.startswith("exit ") for name in head) - len(exits)
    return [
        row.method,
        *[""] * missing,
        *exits,
        *(percent(spread) for spread in row.budgets),
        *("" if spread is None else f"{spread.mean:.0f}" for spread in row.us),
        percent(row.operating_point),
        f"{row.share.mean:.0%}",
        f"{row.operating_us.mean:.0f}",
        percent(row.gain),
        percent(row.quarter_gain),
        "" if row.training_seconds is None else f"{row.training_seconds.mean:.0f}",
    ]


def write_method_tables(rows: Sequence[MethodRow], folder: Path) -> tuple[Path, Path]:
    """Write ``methods.csv`` (means, deviations, errors, in full) and ``methods.md``."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["method", "what", "n", "mean", "sd", "se"])
    for row in rows:
        named = {
            **{f"exit {k}": spread for k, spread in enumerate(row.exits)},
            **{f"within {budget:g}": spread for budget, spread in zip(BUDGETS, row.budgets, strict=True)},
            **{f"us within {budget:g}": spread for budget, spread in zip(BUDGETS, row.us, strict=True)},
            "operating point": row.operating_point,
            "us at operating point": row.operating_us,
            "operating point's share of MACs": row.share,
            f"operating point less {REFERENCE}": row.gain,
            f"within 0.25 less {REFERENCE}": row.quarter_gain,
            "training seconds": row.training_seconds,
        }
        for name, spread in named.items():
            if spread is not None:
                writer.writerow([row.method, name, spread.n, spread.mean, spread.sd, spread.se])
    head = _head(rows)
    lines = [head, ["---"] * len(head), *(_line(row, head) for row in rows)]
    markdown = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return write_bytes(folder / "methods.csv", text.getvalue().encode()), write_bytes(
        folder / "methods.md", markdown.encode()
    )


def percent(spread: Spread | None) -> str:
    """Write mean and standard error in percent; nothing for None."""
    if spread is None:
        return ""
    return f"{100 * spread.mean:.1f}" + ("" if spread.se is None else f" +- {100 * spread.se:.1f}")
