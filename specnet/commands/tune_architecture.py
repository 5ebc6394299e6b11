"""``specnet tune architecture``: search for the network's shape: where its exits are, and how wide and deep it is."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specnet.console import leave_reporting_to_another, note, progress, say, table
from specnet.errors import ConfigurationError

if TYPE_CHECKING:
    from specnet.training import TrainConfig
    from specnet.tuning.architecture.judging import Task
    from specnet.tuning.architecture.searches import Budget, Candidate, Found, Kind, Report, Status
    from specnet.tuning.architecture.space import SearchSpace

HELP = "search for a network's shape: stages and units (where exits stand), widths, block, stem and heads"
EXAMPLE = "specnet tune architecture minerals.h5 --out shapes --trials 40 --max-macs 1e6"
TRIALS = {"tpe": 40, "random": 40, "supernet": 200}
"""Shapes that are judged by default: with a supernet one costs a fraction of a second."""
SHOWN = 5
HELPER_S = 60.0
"""For a process that helps to see that the search is over."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument(
        "data", type=Path, metavar="DATA.h5", help="labelled spectra; those of the test part are not read"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FOLDER", help="of the results; the same one goes on where it was"
    )
    search = parser.add_argument_group("search")
    search.add_argument("--search", default="tpe", metavar="NAME", help="tpe, random, supernet (default: tpe)")
    search.add_argument(
        "--trials",
        type=int,
        metavar="N",
        help=f"shapes to judge in all (default: {TRIALS['tpe']}, with a supernet {TRIALS['supernet']}; any number with "
        "--minutes)",
    )
    search.add_argument("--minutes", type=float, metavar="M", help="end after so long, whatever has been judged")
    search.add_argument("--workers", type=int, default=1, metavar="N", help="processes on this machine (default: 1)")
    search.add_argument(
        "--storage",
        metavar="URL|FILE",
        help="database (sqlite:///..., postgresql://...) or journal that several machines share (default: in FOLDER)",
    )
    search.add_argument("--study", metavar="NAME", help="name within the storage (default: architecture)")
    search.add_argument(
        "--epochs",
        type=int,
        metavar="N",
        help="of a trial (default: a quarter of a training, 6 at least), or of the "
        "supernet (default: a training's, or what --minutes allow)",
    )
    search.add_argument("--space", type=Path, metavar="FILE", help="JSON with choices that replace the usual ones")
    limit = parser.add_argument_group("limit")
    limit.add_argument("--max-macs", type=float, metavar="N", help="static MACs up to the last exit")
    limit.add_argument(
        "--max-us", type=float, metavar="US", help="microseconds of all exits, one thread of this machine, ONNX Runtime"
    )
    recipe = parser.add_argument_group("recipe")
    recipe.add_argument("--preset", metavar="NAME", help="what gives the rest of the network (default: tiny)")
    recipe.add_argument("--preprocessing", metavar="NAME", help="a preset (default: auto, judged by exit 0)")
    recipe.add_argument("--augmentation", metavar="NAME", help="none, light, measured, strong or full (default: light)")
    recipe.add_argument("--seed", type=int, metavar="N", help="of everything random (default: 0)")
    recipe.add_argument("--fold", type=int, metavar="K", help="leave fold K (0 to 4) of a five-fold split alone")
    parser.add_argument("--helper", action="store_true", help=argparse.SUPPRESS)


RECIPE_OPTIONS = ("preset", "preprocessing", "augmentation", "seed", "fold")
SAME_OPTIONS = (
    *("search", "trials", "storage", "study", "epochs", "space", "max_macs", "max_us"),
    *("preset", "augmentation", "seed", "fold"),
)
"""What every process of a search is told as it was given."""


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Search and write what was found; a search that was interrupted goes on.

    Raises
    ------
    SpecnetError
        When data, options or a study that is there do not fit.
    """
    kind = _kind(args)
    from specnet.training import use_threads
    from specnet.tuning.architecture.judging import CostLimit, read_task
    from specnet.tuning.architecture.searches import STUDY, Place

    if args.helper:
        leave_reporting_to_another()
    begin = time.monotonic()
    config, budget = _config(args), _budget(args)
    use_threads(config.preset, 1)  # processes are what is many
    task = read_task(args.data, config, CostLimit(args.max_macs, args.max_us), stage=note)
    space = _space(args.space, task)
    args.out.mkdir(parents=True, exist_ok=True)
    place = Place(args.out, args.storage, args.study or STUDY)
    if budget.seconds is not None:
        budget = replace(budget, seconds=max(1.0, budget.seconds - (time.monotonic() - begin)))
    try:
        with _helpers(args, task, budget), _shown_progress(budget) as report:
            found = kind.run(task, space, budget, place=place, report=report)
    except KeyboardInterrupt:
        note("interrupted; what was judged is kept, and the same command goes on from there")
        raise
    return {} if args.helper else _written(args, task, found)


def _kind(args: argparse.Namespace) -> Kind:
    from specnet.tuning.architecture.searches import find_search

    kind = find_search(args.search)
    if args.workers < 1:
        raise ConfigurationError(f"workers are {args.workers}, expected at least 1")
    if kind.shared:
        try:
            import optuna  # noqa: F401
        except ModuleNotFoundError as error:
            message = f"--search {args.search} needs {error.name}, which is not installed"
            raise ConfigurationError(f"{message}; pip install 'specnet-edge[tune]'") from error
    elif args.workers > 1 or args.storage is not None:
        given = f"--workers {args.workers}" if args.workers > 1 else "--storage"
        raise ConfigurationError(f"--search {args.search} runs in one process, expected no {given}")
    return kind


def _config(args: argparse.Namespace) -> TrainConfig:
    from specnet.datasets import SpectraFile
    from specnet.training import TrainConfig
    from specnet.training.checking import check_recipe

    given = {name: getattr(args, name) for name in RECIPE_OPTIONS if getattr(args, name) is not None}
    config = TrainConfig(**given)
    with SpectraFile(args.data) as file:
        check_recipe(config, n_points=file.n_points, n_classes=len(file.class_names))
    return config


def _budget(args: argparse.Namespace) -> Budget:
    from specnet.tuning.architecture.searches import Budget

    for name in ("trials", "minutes", "epochs"):
        if (value := getattr(args, name)) is not None and not value > 0:
            raise ConfigurationError(f"--{name} is {value}, expected more than 0")
    trials = TRIALS[args.search] if args.trials is None and args.minutes is None else args.trials
    seconds = None if args.minutes is None else 60.0 * args.minutes
    return Budget(trials=trials, seconds=seconds, epochs=args.epochs or 0)


def _space(path: Path | None, task: Task) -> SearchSpace:
    import numpy as np

    from specnet.tuning.architecture.judging import build
    from specnet.tuning.architecture.space import SearchSpace
    from specnet.tuning.architecture.space_file import read_space

    space = SearchSpace.for_axis(task.n_points)
    if path is None:
        return space
    space = read_space(path, space)
    deepest = replace(space, stages=(max(space.stages),))
    build(task, deepest.sample(np.random.default_rng(0)))  # says now what the axis does not bear
    return space


@contextmanager
def _helpers(args: argparse.Namespace, task: Task, budget: Budget) -> Iterator[None]:
    """Further processes on the same study; they end with this one, whatever ends it."""
    from specnet.demo.children import Child, ChildError

    words = ["specnet.cli", "tune", "architecture", str(args.data), "--out", str(args.out), "--helper"]
    # what was chosen once is not chosen again by each
    words += ["--preprocessing", task.preprocessing]
    words += [f"--{name.replace('_', '-')}={getattr(args, name)}" for name in SAME_OPTIONS if _given(args, name)]
    if budget.seconds is not None:
        words.append(f"--minutes={budget.seconds / 60.0}")
    with ExitStack() as stack:
        children = [
            stack.enter_context(Child(f"helper-{number}", words, args.out)) for number in range(1, args.workers)
        ]
        yield
        for child in children:
            try:
                if code := child.wait(HELPER_S):
                    note(f"process {child.name} ended early with code {code}; see {child.log_path}")
            except ChildError as error:
                note(str(error))


def _given(args: argparse.Namespace, name: str) -> bool:
    return getattr(args, name) is not None


@contextmanager
def _shown_progress(budget: Budget) -> Iterator[Report]:
    finished, best = 0, float("inf")
    with progress("searching", budget.trials) as advance:

        def report(status: Status) -> None:
            nonlocal finished, best
            share = status.pruned / max(1, status.finished)
            parts = [f"{share:.0%} pruned", *([] if status.best is None else [f"best {status.best:.4f} nats"])]
            advance(status.finished - finished, ", ".join([*parts, *([status.text] if status.text else [])]))
            finished = status.finished
            if status.best is not None and status.best < best:
                best = status.best
                note(f"{best:.4f} nats, the best after {finished} trials; {share:.0%} pruned")

        yield report


def _written(args: argparse.Namespace, task: Task, found: Found) -> dict[str, Any]:
    from specnet.tuning.architecture.results import ARCHITECTURE, PICTURE, TABLE, about, plain, write_results

    top = [_timed(task, candidate) for candidate in found.ranked[:SHOWN]]
    best = found.best  # says why when there is none
    us = top[0].us or 0.0
    write_results(args.out, task, found, search=args.search, us=us)
    summary = about(task, found, search=args.search, us=us)
    share = summary["pruned"] / summary["trials"]
    table(
        f"{summary['trials']} shapes judged, {share:.0%} pruned, {found.infeasible} draws over the limit, "
        f"{found.seconds:.0f} processor seconds ({found.why})",
        ("widths", "units", "block", "stem", "head", "MACs", "us", "nats", "accuracy %", "trial"),
        [_row(candidate) for candidate in top],
    )
    say(f"written to {args.out}: {ARCHITECTURE}, {TABLE}, {PICTURE}")
    say(f"train the best one: specnet train {args.data} --out RUN --architecture {args.out / ARCHITECTURE}")
    return {
        "folder": str(args.out),
        "architecture": str(args.out / ARCHITECTURE),
        "shape": best.architecture.to_dict(),
        **summary,
        "why": found.why,
        "top": [plain(candidate) for candidate in top],
    }


def _timed(task: Task, candidate: Candidate) -> Candidate:
    from specnet.tuning.architecture.judging import build, measure

    if candidate.us is not None:
        return candidate
    return replace(candidate, us=measure(build(task, candidate.architecture), task, timed=True).us)


def _row(candidate: Candidate) -> tuple[Any, ...]:
    shape = candidate.architecture
    return (
        " ".join(str(width) for width in shape.widths),
        " ".join(str(units) for units in shape.units),
        shape.block,
        shape.stem_channels,
        f"{shape.head_bins} x {shape.head_channels}",
        f"{candidate.macs:,}",
        f"{candidate.us:.0f}",
        f"{candidate.nats:.4f}",
        f"{100 * (candidate.accuracy or 0.0):.1f}",
        candidate.number,
    )
