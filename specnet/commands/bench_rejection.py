"""``specnet bench rejection``: classes that the network never saw, and how many of their spectra it calls unknown."""

from __future__ import annotations

import argparse
import csv
import io
from dataclasses import asdict
from pathlib import Path
from typing import Any

from specnet.commands.numbers import distinct_numbers
from specnet.console import note, say, table
from specnet.errors import ConfigurationError

HELP = "leave classes out of training and measure how well their spectra are called unknown"
EXAMPLE = "specnet bench rejection minerals.h5 --out rejection --share 0.25 --false-alarm 0.05"
MEASURES = ("accuracy", "false_alarm", "detection")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("data", type=Path, metavar="DATA.h5", help="labelled spectra")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder of results; continued when there"
    )
    parser.add_argument(
        "--share", type=float, default=0.25, metavar="S", help="share of the classes left out (default: 0.25)"
    )
    parser.add_argument(
        "--false-alarm",
        type=float,
        default=0.05,
        metavar="RATE",
        help="share of known spectra that may be called unknown (default: 0.05)",
    )
    parser.add_argument(
        "--reject-score",
        default="improbability",
        choices=("improbability", "energy"),
        help="what the rule looks at (default: improbability)",
    )
    parser.add_argument(
        "--seeds", default="0,1,2", metavar="N,...", help="each leaves out other classes (default: 0,1,2)"
    )
    parser.add_argument("--preset", default="tiny", metavar="NAME", help="size of the network (default: tiny)")
    parser.add_argument("--epochs", type=int, default=0, metavar="N", help="default: as the data need")
    parser.add_argument("--augmentation", default="auto", metavar="NAME", help="default: auto, by pilots")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Train and measure; write ``rejection.json``, ``rejection.csv`` and ``rejection.png``.

    Raises
    ------
    ConfigurationError
        When a number or a name makes no sense.
    DatasetError
        When the file cannot be read.
    """
    from specnet.evaluation.comparison import Spread
    from specnet.evaluation.held_out_classes import FALSE_ALARMS, rejection_of_held_out
    from specnet.evaluation.plots import plot_rejection
    from specnet.files import write_bytes, write_json
    from specnet.training import TrainConfig

    seeds = distinct_numbers("seeds", args.seeds)
    if not 0 < args.false_alarm < 1:
        raise ConfigurationError(f"--false-alarm is {args.false_alarm}, expected a share between 0 and 1")
    runs = []
    for seed in seeds:
        config = TrainConfig(preset=args.preset, epochs=args.epochs, augmentation=args.augmentation, seed=seed)
        note(f"seed {seed}")
        runs.append(
            rejection_of_held_out(
                args.data,
                args.out / f"seed{seed}",
                config,
                share=args.share,
                false_alarm=args.false_alarm,
                score=args.reject_score,
                stage=note,
            )
        )
    aurocs = {f"auroc_{score}": [run["auroc"][score] for run in runs] for score in runs[0]["auroc"]}
    values = {**aurocs, **{name: [run[name] for run in runs] for name in MEASURES}}
    summary = {
        name: Spread.of({(seed, None): value for seed, value in zip(seeds, found, strict=True)})
        for name, found in values.items()
    }
    document = {
        "bench": "rejection",
        "data": args.data.name,
        "share": args.share,
        "false_alarm_asked": args.false_alarm,
        "reject_score": args.reject_score,
        "seeds": list(seeds),
        "summary": {name: asdict(spread) for name, spread in summary.items()},
        "runs": runs,
    }
    rows = [(name, spread.n, spread.mean, spread.sd, spread.se) for name, spread in summary.items()]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("measure", "n", "mean", "sd", "se"), *rows])
    path = write_json(args.out / "rejection.json", document)
    table_path = write_bytes(args.out / "rejection.csv", text.getvalue().encode())
    figure = plot_rejection(
        FALSE_ALARMS,
        {score: [run["roc"][score] for run in runs] for score in runs[0]["roc"]},
        args.false_alarm,
        args.out / "rejection.png",
        title=args.data.stem,
    )
    left_out = len(runs[0]["left_out"])
    table(
        f"{args.data.name}: {left_out} classes left out, seeds {args.seeds}",
        ["measure", "mean", "+- SE"],
        [(name, f"{mean:.3f}", "" if se is None else f"{se:.3f}") for name, _, mean, _, se in rows],
    )
    say(f"written to {path}, {table_path} and {figure}")
    return {**document, "json": str(path), "csv": str(table_path), "png": str(figure)}
