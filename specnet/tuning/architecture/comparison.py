"""Searches compared at equal processor time: what the shapes that they found are worth when they are really trained."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from specnet.calibration import calibrate, fit_temperatures
from specnet.datasets import Holdout
from specnet.evaluation.comparison import Spread
from specnet.evaluation.report import evaluate
from specnet.files import write_bytes, write_json
from specnet.training import TrainConfig, trained_once
from specnet.training.likelihood import judge_logits
from specnet.tuning.architecture.judging import Task, build, measure
from specnet.tuning.architecture.results import write_results
from specnet.tuning.architecture.searches import Budget, Place, Report, find_search
from specnet.tuning.architecture.space import Architecture, SearchSpace

PRESET = "preset"
"""What the searches are compared with: the recipe's preset as it is."""
TIMED_SPECTRA = 16
Stage = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """A shape, trained with the whole recipe and measured on the test part.

    Parameters
    ----------
    method, seed
        The search, or `PRESET`.
    accuracy, nats
        Of all exits together: tempered mean log-probability, temperatures fitted on the calibration part.
    operating_accuracy, mean_macs
        Where the calibrated policy lets spectra leave early.
    macs, us
        Static MACs of the network, and microseconds of all its exits on one thread.
    search_seconds, shapes
        Processor seconds of the search, and shapes that it judged.
    """

    method: str
    seed: int
    accuracy: float
    nats: float
    operating_accuracy: float
    mean_macs: float
    macs: float
    us: float
    search_seconds: float
    shapes: float


MEASURES = tuple(field.name for field in fields(Outcome) if field.name not in {"method", "seed"})


def searched(
    name: str, task: Task, space: SearchSpace, processor_seconds: float, folder: Path, *, report: Report
) -> tuple[Architecture, float, int]:
    """Search, or go on with a search that is there; returns the best shape, processor seconds and shapes judged.

    Raises
    ------
    SpecnetError
        When nothing was found in that time, or the folder has another search.
    """
    folder.mkdir(parents=True, exist_ok=True)
    budget = Budget(processor_seconds=processor_seconds)
    found = find_search(name).run(task, space, budget, place=Place(folder), report=report)
    best = found.best
    us = best.us or measure(build(task, best.architecture), task, timed=True).us
    write_results(folder, task, found, search=name, us=us or 0.0)
    return best.architecture, found.seconds, len(found.candidates)


def outcome(
    data: Path, out: Path, method: str, config: TrainConfig, *, seconds: float, shapes: int, stage: Stage
) -> Outcome:
    """Train a network once by a recipe, shape included, and measure it on the test part.

    Raises
    ------
    SpecnetError
        When data and recipe do not fit.
    """
    run = trained_once(data, out / "runs", f"{method}-seed{config.seed}", config, stage=stage)
    held, test = run.cache(data, Holdout.CALIBRATION).logits, run.cache(data, Holdout.TEST)
    calibration = calibrate(held, additive=run.additive)
    report = evaluate(test.logits, calibration, held, classes=run.classes, split_by=run.split_by)
    logits = test.logits.logits.copy()
    if run.additive:
        logits[1:] += logits[0]
    judged = judge_logits(logits, test.logits.labels, fit_temperatures(held, additive=run.additive))
    return Outcome(
        method=method,
        seed=config.seed,
        accuracy=judged.accuracy,
        nats=judged.nats,
        operating_accuracy=report["operating_point"]["accuracy"],
        mean_macs=report["operating_point"]["mean_macs"],
        macs=test.logits.static_macs,
        us=run.measure_us(spectra=test.spectra[:TIMED_SPECTRA])[-1],
        search_seconds=seconds,
        shapes=shapes,
    )


def with_shape(config: TrainConfig, architecture: Architecture) -> TrainConfig:
    """Return the recipe with a shape."""
    return replace(config, **architecture.training_options)


def summarise(outcomes: Sequence[Outcome]) -> dict[str, dict[str, Spread]]:
    """Mean and spread over seeds of every measure, by method."""
    methods = dict.fromkeys(one.method for one in outcomes)
    return {
        method: {
            name: Spread.of({(one.seed, None): getattr(one, name) for one in outcomes if one.method == method})
            for name in MEASURES
        }
        for method in methods
    }


def write_comparison(outcomes: Sequence[Outcome], folder: Path, about: dict[str, Any]) -> tuple[Path, Path]:
    """Write ``architecture.json`` with everything and ``architecture.csv`` with a line a method."""
    summary = summarise(outcomes)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["method", "n", *(f"{name}_{part}" for name in MEASURES for part in ("mean", "sd", "se"))])
    for method, spreads in summary.items():
        cells = [getattr(spreads[name], part) for name in MEASURES for part in ("mean", "sd", "se")]
        writer.writerow([method, spreads["accuracy"].n, *cells])
    document = {
        **about,
        "summary": {
            method: {name: asdict(spread) for name, spread in spreads.items()} for method, spreads in summary.items()
        },
        "outcomes": [asdict(one) for one in outcomes],
    }
    path = write_json(folder / "architecture.json", document)
    return path, write_bytes(folder / "architecture.csv", text.getvalue().encode())
