"""``specnet bench methods``: early-exit methods on one file, with the same budget, seeds and splits."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from specnet.commands.comparing import ComparisonProgress, add_comparison_options, comparison_plan, varied
from specnet.console import say, table

if TYPE_CHECKING:
    from specnet.evaluation.comparison.method_table import MethodRow

HELP = "compare early-exit methods: accuracy of every exit and within budgets, microseconds, training time"
EXAMPLE = "specnet bench methods minerals.h5 --out methods --seeds 0,1,2"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    add_comparison_options(parser, methods="all of `specnet train --method` that have early exits")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Run what is missing; write ``methods.csv``, ``methods.md`` and ``methods.png``.

    Raises
    ------
    ConfigurationError
        When a method is unknown or a list of numbers is none.
    DatasetError
        When the file cannot be read.
    """
    from specnet.evaluation.comparison import compare, early_exit_methods
    from specnet.evaluation.comparison.method_table import BUDGETS, REFERENCE, method_rows, write_method_tables
    from specnet.evaluation.plots import plot_methods

    plan = comparison_plan(args, early_exit_methods)
    with ComparisonProgress() as shown:
        comparison = compare(plan, jobs=args.jobs, begin=shown.begin, started=shown.started, done=shown.done)
    rows = method_rows(comparison.cells)
    table(
        f"{args.data.name}: accuracy in percent, means over {varied(plan)}; exits as combined",
        (
            "method",
            "exits",
            *(f"{budget:.0%}" for budget in BUDGETS),
            "us at 25%",
            "chosen +- SE",
            "its MACs",
            f"less {REFERENCE} +- SE",
            "training s",
        ),
        [_line(row) for row in rows],
    )
    for row in comparison.rows:
        for error, count in row.errors.items():
            say(f"{row.label} failed {count} time(s): {error}")
    csv_path, markdown = write_method_tables(rows, plan.out)
    figure = plot_methods(rows, plan.out / "methods.png", title=args.data.stem)
    say(f"written to {csv_path}, {markdown} and {figure}")
    return {
        "bench": "methods",
        "data": args.data.name,
        "methods": list(plan.methods),
        "seeds": list(plan.seeds),
        "folds": list(plan.folds),
        "preset": plan.base.preset,
        "epochs": plan.base.epochs,
        "budgets": list(BUDGETS),
        "rows": [asdict(row) for row in rows],
        "failed": sum(bool(cell.error) for cell in comparison.cells),
        "csv": str(csv_path),
        "markdown": str(markdown),
        "png": str(figure),
        "exit_code": int(all(cell.error for cell in comparison.cells)),
    }


def _line(row: MethodRow) -> tuple[str, ...]:
    """Put what fits on a terminal into one line; the files have all."""
    from specnet.evaluation.comparison.method_table import percent

    quarter, chosen = row.us[1], row.operating_point
    return (
        row.method,
        " ".join(f"{100 * spread.mean:.1f}" for spread in row.exits),
        *("" if spread is None else f"{100 * spread.mean:.1f}" for spread in row.budgets),
        "" if quarter is None else f"{quarter.mean:.0f}",
        percent(chosen),
        f"{row.share.mean:.0%}",
        percent(row.gain),
        "" if row.training_seconds is None else f"{row.training_seconds.mean:.0f}",
    )
