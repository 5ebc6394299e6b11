"""``specnet bench architecture``: searches for a shape at equal processor time, and what their shapes are worth."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specnet.commands.numbers import distinct_numbers
from specnet.console import note, progress, say, table
from specnet.errors import ConfigurationError

if TYPE_CHECKING:
    from specnet.tuning.architecture.comparison import Outcome
    from specnet.tuning.architecture.judging import Task
    from specnet.tuning.architecture.searches import Status

HELP = "compare searches for a network's shape at equal processor time, their best shapes trained in full"
EXAMPLE = "specnet bench architecture minerals.h5 --out shapes-compared --seconds 300 --seeds 0,1,2"
SEARCHES = "random,tpe,supernet"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("data", type=Path, metavar="DATA.h5", help="labelled spectra")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="of the results; continued when there")
    parser.add_argument("--searches", default=SEARCHES, metavar="A,B,...", help=f"default: {SEARCHES}")
    parser.add_argument(
        "--seconds",
        type=float,
        default=300.0,
        metavar="S",
        help="processor seconds of each search, all training included (default: 300)",
    )
    parser.add_argument("--seeds", default="0,1,2", metavar="N,...", help="of searches and trainings (default: 0,1,2)")
    parser.add_argument("--preset", default="tiny", metavar="NAME", help="what is compared with (default: tiny)")
    parser.add_argument(
        "--max-macs", type=float, metavar="N", help="of the shapes (default: as many as the preset has)"
    )
    parser.add_argument("--space", type=Path, metavar="FILE", help="JSON with choices that replace the usual ones")
    parser.add_argument("--epochs", type=int, default=0, metavar="N", help="of a whole training (default: as needed)")
    parser.add_argument("--preprocessing", default="auto", metavar="NAME", help="a preset (default: auto)")
    parser.add_argument("--augmentation", default="auto", metavar="NAME", help="of whole trainings (default: auto)")
    parser.add_argument("--fold", type=int, metavar="K", help="test on fold K (0 to 4) of a five-fold split")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Search, train and measure what is missing; write ``architecture.json``, ``.csv`` and ``.png``.

    Raises
    ------
    SpecnetError
        When data and options do not fit. A search that finds nothing in its time is told in ``failures``.
    """
    from specnet.training import use_threads
    from specnet.tuning.architecture.comparison import write_comparison
    from specnet.tuning.architecture.comparison_picture import draw_comparison
    from specnet.tuning.architecture.searches import find_search

    names = [name.strip() for name in args.searches.split(",")]
    for name in names:
        find_search(name)
    if not 0 < args.seconds < float("inf"):
        raise ConfigurationError(f"--seconds is {args.seconds}, expected more than 0")
    use_threads(args.preset, 1)
    outcomes, failures = [], []
    for seed in distinct_numbers("seeds", args.seeds):
        for name, one in _compared(args, names, seed):
            if isinstance(one, str):
                failures.append({"method": name, "seed": seed, "error": one})
            else:
                outcomes.append(one)
    about = {
        "bench": "architecture",
        "data": args.data.name,
        "processor_seconds": args.seconds,
        "preset": args.preset,
        "fold": args.fold,
        "max_macs": args.max_macs,
        "failures": failures,
    }
    json_path, csv_path = write_comparison(outcomes, args.out, about)
    figure = draw_comparison(outcomes, args.out / "architecture.png", title=args.data.stem)
    summary = _show(outcomes, args)
    say(f"written to {json_path}, {csv_path} and {figure}")
    return {**about, "summary": summary, "json": str(json_path), "csv": str(csv_path), "png": str(figure)}


def _compared(args: argparse.Namespace, names: list[str], seed: int) -> Iterator[tuple[str, Outcome | str]]:
    """Give the outcome of every method, or why a search found nothing in its time."""
    from specnet.training import TrainConfig
    from specnet.tuning.architecture.comparison import PRESET, outcome, searched, with_shape
    from specnet.tuning.architecture.searches import NothingFoundError
    from specnet.tuning.architecture.space import SearchSpace
    from specnet.tuning.architecture.space_file import read_space

    config = TrainConfig(
        preset=args.preset, epochs=args.epochs, preprocessing=args.preprocessing, seed=seed, fold=args.fold
    )
    task = _task(args, config)
    usual = SearchSpace.for_axis(task.n_points)
    space = usual if args.space is None else read_space(args.space, usual)
    # what was chosen for the searches is not chosen again for each network
    whole = replace(config, preprocessing=task.preprocessing, augmentation=args.augmentation, epochs=task.config.epochs)
    yield PRESET, outcome(args.data, args.out, PRESET, whole, seconds=0.0, shapes=0, stage=note)
    for name in names:
        with progress(f"{name}, seed {seed}", None) as advance:

            def report(status: Status) -> None:
                advance(0, f"{status.finished} shapes judged {status.text}")

            try:
                folder = args.out / f"{name}-seed{seed}"
                shape, seconds, shapes = searched(name, task, space, args.seconds, folder, report=report)
            except NothingFoundError as error:
                note(f"{name}, seed {seed}: {error}")
                yield name, str(error)
                continue
        note(f"{name}, seed {seed}: {shapes} shapes in {seconds:.0f} processor seconds")
        config = with_shape(whole, shape)
        yield name, outcome(args.data, args.out, name, config, seconds=seconds, shapes=shapes, stage=note)


def _task(args: argparse.Namespace, config: Any) -> Task:
    from specnet.training.building import build_network
    from specnet.tuning.architecture.judging import CostLimit, read_task

    task = read_task(args.data, config, CostLimit(macs=args.max_macs), stage=note)
    if args.max_macs is not None:
        return task
    preset = build_network(task.config, task.n_points, len(task.classes), task.linear)
    return replace(task, limit=CostLimit(macs=preset.static_macs()))


def _show(outcomes: list[Outcome], args: argparse.Namespace) -> dict[str, Any]:
    from dataclasses import asdict

    from specnet.tuning.architecture.comparison import summarise

    summary = summarise(outcomes)

    def cell(method: str, name: str, factor: float, digits: int) -> str:
        spread = summary[method][name]
        error = "" if spread.se is None else f" ± {factor * spread.se:.{digits}f}"
        return f"{factor * spread.mean:,.{digits}f}{error}"

    table(
        f"{args.data.name}: searches of {args.seconds:g} processor seconds, whole trainings, test part; mean ± SE",
        ("shape from", "accuracy %", "nats", "left early %", "mean MACs", "static MACs", "us", "search s", "shapes"),
        [
            (
                method,
                cell(method, "accuracy", 100.0, 2),
                cell(method, "nats", 1.0, 3),
                cell(method, "operating_accuracy", 100.0, 2),
                cell(method, "mean_macs", 1.0, 0),
                cell(method, "macs", 1.0, 0),
                cell(method, "us", 1.0, 0),
                cell(method, "search_seconds", 1.0, 0),
                cell(method, "shapes", 1.0, 0),
            )
            for method in summary
        ],
    )
    return {method: {name: asdict(one) for name, one in spreads.items()} for method, spreads in summary.items()}
