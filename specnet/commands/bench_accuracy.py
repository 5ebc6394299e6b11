"""``specnet bench accuracy``: many methods on one file of spectra, over seeds and folds."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specnet.commands.comparing import ComparisonProgress, add_comparison_options, comparison_plan, varied
from specnet.console import say, table

if TYPE_CHECKING:
    from specnet.evaluation.comparison import Comparison, Plan, Row, Spread

HELP = "compare networks and classical baselines: accuracy against MACs and microseconds, over seeds and folds"
EXAMPLE = "specnet bench accuracy minerals.h5 --out bench-out --methods ridge,minirocket,specnet --seeds 0,1,2"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    add_comparison_options(parser, methods="all baselines, specnet, static, pooled, resnet1d, msdnet1d")
    parser.add_argument(
        "--active-target", type=float, metavar="SHARE", help="of the units' MACs in adaptive networks (default: 0.5)"
    )
    parser.add_argument("--backbone", metavar="FILE", help="pretrained weights that all networks start from")
    parser.add_argument(
        "--refit", action="store_true", help="fit baselines again on training and calibration part after choosing"
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Run what is missing; write ``accuracy.json``, ``accuracy.csv`` and ``accuracy.png``.

    Raises
    ------
    ConfigurationError
        When a method is unknown or a list of numbers is none.
    DatasetError
        When the file cannot be read.
    """
    from specnet.evaluation.comparison import compare, default_methods, write_tables
    from specnet.evaluation.plots import plot_comparison

    plan = comparison_plan(args, default_methods, "active_target", "backbone", refit=args.refit)
    with ComparisonProgress() as shown:
        comparison = compare(plan, jobs=args.jobs, begin=shown.begin, started=shown.started, done=shown.done)
    figure = plot_comparison(
        comparison.to_dict()["rows"], comparison.curves, plan.out / "accuracy.png", title=args.data.stem
    )
    document = {
        "bench": "accuracy",
        "data": args.data.name,
        "methods": list(plan.methods),
        "seeds": list(plan.seeds),
        "folds": list(plan.folds),
        "preset": plan.base.preset,
        "augmentation": plan.base.augmentation,
        "active_target": plan.base.active_target,
        "backbone": Path(plan.base.backbone).name,
        "refit": plan.refit,
        **comparison.to_dict(),
    }
    document_path, table_path = write_tables(comparison, plan.out, document)
    _show(comparison, plan)
    say(f"written to {document_path}, {table_path} and {figure}")
    return {
        **document,
        "json": str(document_path),
        "csv": str(table_path),
        "png": str(figure),
        "exit_code": int(all(cell.error for cell in comparison.cells)),
    }


def _show(comparison: Comparison, plan: Plan) -> None:
    table(
        f"{plan.data.name}: mean +- standard deviation over {varied(plan)}",
        (
            "method",
            "accuracy %",
            "balanced %",
            "MACs",
            "us",
            "timed in",
            f"to {comparison.best_simple or 'best'} +- SE",
        ),
        [_line(row) for row in comparison.rows],
    )
    for row in comparison.rows:
        for error, count in row.errors.items():
            say(f"{row.label} failed {count} time(s): {error}")
    if comparison.worth is not None:
        say(comparison.worth.sentence)


def _line(row: Row) -> tuple[str, ...]:
    return (
        row.label,
        _percent(row.accuracy),
        _percent(row.balanced_accuracy),
        "" if row.macs is None else f"{row.macs.mean:,.0f}",
        "" if row.us is None else f"{row.us.mean:,.0f}",
        row.runtime,
        "" if row.difference is None else _signed(row.difference),
    )


def _percent(spread: Spread | None) -> str:
    if spread is None:
        return "failed"
    return f"{100 * spread.mean:.2f}" + ("" if spread.sd is None else f" +- {100 * spread.sd:.2f}")


def _signed(spread: Spread) -> str:
    return f"{100 * spread.mean:+.2f}" + ("" if spread.se is None else f" +- {100 * spread.se:.2f}")
