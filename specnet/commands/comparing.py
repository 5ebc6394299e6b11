"""What commands that compare methods on a file have in common: options, plan, progress."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specnet.commands.numbers import distinct_numbers
from specnet.console import note, progress

if TYPE_CHECKING:
    from specnet.evaluation.comparison import Cell, Plan, Task


def add_comparison_options(parser: argparse.ArgumentParser, *, methods: str) -> None:
    """Declare data, folder and what is varied; `methods` says in words which ones are the default."""
    parser.add_argument("data", type=Path, metavar="DATA.h5", help="labelled spectra")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder of results; continued when there"
    )
    parser.add_argument("--methods", metavar="A,B,...", help=f"names of baselines and methods (default: {methods})")
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
        "--jobs",
        type=int,
        default=1,
        metavar="N",
        help="child processes of one thread each; more than there are idle cores spoil the times (default: 1)",
    )


def comparison_plan(
    args: argparse.Namespace, default: Callable[[], list[str]], *more: str, refit: bool = False
) -> Plan:
    """Make the plan of the options; `more` are names of further options that `TrainConfig` has.

    Raises
    ------
    ConfigurationError
        When a method is unknown or a list of numbers is none.
    DatasetError
        When the file cannot be read.
    """
    from specnet.evaluation.comparison import Plan, default_folds
    from specnet.training import TrainConfig

    options = {name: getattr(args, name) for name in ("epochs", "augmentation", *more)}
    given = {name: value for name, value in options.items() if value is not None}
    methods = default() if args.methods is None else [name.strip() for name in args.methods.split(",")]
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
        refit=refit,
    )


def varied(plan: Plan) -> str:
    """Say in words what a table's means are over."""
    over = f"seeds {', '.join(map(str, plan.seeds))}"
    return over if plan.folds == (None,) else f"{over}; folds {', '.join(map(str, plan.folds))}"


class ComparisonProgress:
    """A bar for people, a line for each finished cell for everybody."""

    def __init__(self) -> None:
        self._running: list[str] = []
        self._finished = self._total = 0

    def __enter__(self) -> ComparisonProgress:
        self._context = progress("comparing", None)
        self._advance = self._context.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._context.__exit__(*error)

    def begin(self, total: int, reused: int) -> None:
        """Say how many cells there are, and how many were there before."""
        self._total, self._finished = total, reused
        if reused:
            note(f"{reused} of {total} cells were there already")

    def started(self, task: Task) -> None:
        """Show what runs."""
        self._running.append(task.name)
        self._advance(0, f"of {self._total}: " + ", ".join(self._running))

    def done(self, task: Task, cell: Cell) -> None:
        """Say what came out of a cell."""
        self._running.remove(task.name)
        self._finished += 1
        result = f"failed: {cell.error}" if cell.error else f"{cell.rows[0]['accuracy']:.2%}, {cell.seconds:.0f} s"
        note(f"[{self._finished}/{self._total}] {task.name}: {result}")
        self._advance(1, f"of {self._total}: " + ", ".join(self._running))
