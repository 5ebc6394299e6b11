"""``specnet bench accuracy``: many methods on one file of spectra, over seeds and folds."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specnet.commands.numbers import distinct_numbers
from specnet.console import note, progress, say, table

if TYPE_CHECKING:
    from specnet.evaluation.comparison import Cell, Comparison, Plan, Row, Spread, Task

HELP = "compare networks and classical baselines: accuracy against MACs and microseconds, over seeds and folds"
EXAMPLE = "specnet bench accuracy minerals.h5 --out bench-out --methods ridge,minirocket,specnet --seeds 0,1,2"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("data", type=Path, metavar="DATA.h5", help="labelled spectra")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder of results; continued when there"
    )
    parser.add_argument(
        "--methods",
        metavar="A,B,...",
        help="names of baselines and recipes (default: all baselines, specnet, static, pooled, resnet1d, msdnet1d)",
    )
    parser.add_argument("--seeds", default="0,1,2", metavar="N,...", help="seeds (default: 0,1,2)")
    parser.add_argument(
        "--folds",
        default="auto",
        metavar="K,...|none",
        help="folds that are the test part in turn, or none for the file's own split "
        "(default: the file's own test part where it has one, otherwise 0,1,2,3,4)",
    )
    parser.add_argument("--preset", default="tiny", metavar="NAME", help="size of the networks (default: tiny)")
    parser.add_argument("--epochs", type=int, metavar="N", help="of the networks (default: as the recipe says)")
    parser.add_argument(
        "--augmentation", metavar="NAME", help="of all networks alike (default: as the recipe says, by pilots)"
    )
    parser.add_argument(
        "--active-target", type=float, metavar="SHARE", help="of the units' MACs in adaptive networks (default: 0.5)"
    )
    parser.add_argument("--backbone", metavar="FILE", help="pretrained weights that all networks start from")
    parser.add_argument(
        "--refit", action="store_true", help="fit baselines again on training and calibration part after choosing"
    )
    parser.add_argument(
        "--jobs",
        type=int,
        default=1,
        metavar="N",
        help="child processes of one thread each; more than there are idle cores spoil the times (default: 1)",
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
    from specnet.evaluation.comparison import compare, write_tables
    from specnet.evaluation.plots import plot_comparison

    plan = _plan(args)
    with _Progress() as shown:
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


def _plan(args: argparse.Namespace) -> Plan:
    from specnet.evaluation.comparison import Plan, default_folds, default_methods
    from specnet.training import TrainConfig

    options = {name: getattr(args, name) for name in ("epochs", "augmentation", "active_target", "backbone")}
    given = {name: value for name, value in options.items() if value is not None}
    methods = default_methods() if args.methods is None else [name.strip() for name in args.methods.split(",")]
    folds: tuple[int | None, ...] = (None,)
    if args.folds == "auto":
        folds = default_folds(args.data)
    elif args.folds != "none":
        folds = distinct_numbers("folds", args.folds)
    return Plan(
        data=args.data,
        out=args.out,
        methods=tuple(methods),
        seeds=distinct_numbers("seeds", args.seeds),
        folds=folds,
        base=TrainConfig(preset=args.preset, **given),
        refit=args.refit,
    )


class _Progress:
    """A bar for people, a line for each finished cell for everybody."""

    def __init__(self) -> None:
        self._running: list[str] = []
        self._finished = self._total = 0

    def __enter__(self) -> _Progress:
        self._context = progress("comparing", None)
        self._advance = self._context.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._context.__exit__(*error)

    def begin(self, total: int, reused: int) -> None:
        self._total, self._finished = total, reused
        if reused:
            note(f"{reused} of {total} cells were there already")

    def started(self, task: Task) -> None:
        self._running.append(task.name)
        self._advance(0, f"of {self._total}: " + ", ".join(self._running))

    def done(self, task: Task, cell: Cell) -> None:
        self._running.remove(task.name)
        self._finished += 1
        result = f"failed: {cell.error}" if cell.error else f"{cell.rows[0]['accuracy']:.2%}, {cell.seconds:.0f} s"
        note(f"[{self._finished}/{self._total}] {task.name}: {result}")
        self._advance(1, f"of {self._total}: " + ", ".join(self._running))


def _show(comparison: Comparison, plan: Plan) -> None:
    over = f"seeds {', '.join(map(str, plan.seeds))}"
    if plan.folds != (None,):
        over += f"; folds {', '.join(map(str, plan.folds))}"
    table(
        f"{plan.data.name}: mean +- standard deviation over {over}",
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
