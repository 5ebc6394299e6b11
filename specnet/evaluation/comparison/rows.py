"""From cells to the rows of a table, each with its paired difference to the best simple baseline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from specnet.evaluation.comparison.cell import Cell
from specnet.evaluation.comparison.spread import Place, Spread

MEASURES = ("accuracy", "balanced_accuracy", "macs", "us")


@dataclass(frozen=True)
class Row:
    """One way of using one method.

    Parameters
    ----------
    method, variant, kind, runtime
        As in `Cell`.
    accuracy, balanced_accuracy, macs, us
        Over the cells; None when all failed.
    difference
        Accuracy minus that of the best simple baseline, over the cells that both have.
    preprocessing
        What was chosen, and how often.
    errors
        Why cells failed, and how often.
    """

    method: str
    variant: str
    kind: str
    runtime: str
    accuracy: Spread | None
    balanced_accuracy: Spread | None
    macs: Spread | None
    us: Spread | None
    difference: Spread | None
    preprocessing: dict[str, int]
    errors: dict[str, int]

    @property
    def label(self) -> str:
        """Method and variant in words."""
        return f"{self.method}, {self.variant}" if self.variant else self.method


def summarise(cells: Sequence[Cell]) -> tuple[list[Row], str]:
    """Make one row for each method and variant.

    Returns
    -------
    tuple
        Rows in the order of the cells, and the name of the best simple baseline: of those that are no networks and
        failed nowhere, the one with the highest mean accuracy on the test parts, which flatters it. Empty without one.
    """
    simple = {
        method: Spread.of(values).mean
        for method in _methods(cells)
        if (values := _values(cells, method, "", "accuracy")) and len(values) == _n_cells(cells, method)
    }
    best = max(simple, key=lambda method: simple[method], default="")
    reference = _values(cells, best, "", "accuracy")
    rows = [
        _row(cells, method, variant, reference) for method in _methods(cells) for variant in _variants(cells, method)
    ]
    return rows, best


def paired(cells: Sequence[Cell], row: Row, reference: Row) -> Spread | None:
    """Accuracy of one row minus that of another over the cells that both have; None where there is no such cell."""
    known = _values(cells, reference.method, reference.variant, "accuracy")
    own = _values(cells, row.method, row.variant, "accuracy")
    common = {place: value - known[place] for place, value in own.items() if place in known}
    return Spread.of(common) if common else None


def mean_curves(cells: Iterable[Cell]) -> dict[str, list[dict[str, float]]]:
    """Average each network's accuracy within budgets over its cells, at the budgets that all of them have."""
    by_method: dict[str, list[dict[float, dict[str, float]]]] = {}
    for cell in cells:
        if cell.curve:
            by_method.setdefault(cell.method, []).append({point["share"]: point for point in cell.curve})
    curves = {}
    for method, found in by_method.items():
        shares = sorted(set.intersection(*(set(points) for points in found)))
        keys = ("accuracy", "macs", "us")
        curves[method] = [
            {"share": share, **{key: sum(points[share][key] for points in found) / len(found) for key in keys}}
            for share in shares
        ]
    return curves


def _row(cells: Sequence[Cell], method: str, variant: str, reference: dict[Place, float]) -> Row:
    own = [cell for cell in cells if cell.method == method]
    fine = [cell for cell in own if not cell.error]
    measured: dict[str, Any] = {}
    for measure in MEASURES:
        values = _values(cells, method, variant, measure)
        measured[measure] = Spread.of(values) if values else None
    accuracy = _values(cells, method, variant, "accuracy")
    common = {place: value - reference[place] for place, value in accuracy.items() if place in reference}
    chosen = Counter(str(cell.detail["preprocessing"]) for cell in fine if "preprocessing" in cell.detail)
    return Row(
        method=method,
        variant=variant,
        kind=fine[0].kind if fine else "",
        runtime=fine[0].runtime if fine else "",
        difference=Spread.of(common) if common else None,
        preprocessing=dict(chosen.most_common()),
        errors=dict(Counter(cell.error for cell in own if cell.error).most_common()),
        **measured,
    )


def _methods(cells: Sequence[Cell]) -> list[str]:
    return list(dict.fromkeys(cell.method for cell in cells))


def _variants(cells: Sequence[Cell], method: str) -> list[str]:
    """Variants that any cell has; one without a name for a method that failed everywhere."""
    names = [row["variant"] for cell in cells if cell.method == method for row in cell.rows]
    return list(dict.fromkeys(names)) or [""]


def _n_cells(cells: Sequence[Cell], method: str) -> int:
    return sum(cell.method == method for cell in cells)


def _values(cells: Sequence[Cell], method: str, variant: str, measure: str) -> dict[Place, float]:
    return {
        (cell.seed, cell.fold): float(row[measure])
        for cell in cells
        if cell.method == method
        for row in cell.rows
        if row["variant"] == variant
    }
