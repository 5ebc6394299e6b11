"""A classical baseline with one seed on one fold."""

from __future__ import annotations

from typing import Any

from specnet.baselines import BASELINES, Part, choose, create_baseline, measure_us
from specnet.datasets import Holdout, SpectraFile
from specnet.evaluation.comparison.cell import Task
from specnet.evaluation.metrics import accuracy, balanced_accuracy
from specnet.training.data import Split, split_file

TIMED_SPECTRA = 16


def baseline_result(task: Task) -> dict[str, Any]:
    """Choose on the calibration part, then measure on the test part: fields of a `Cell`.

    Raises
    ------
    SpecnetError
        When data and method do not fit, or an extra is missing.
    """
    baseline = create_baseline(task.method)
    split = split_file(task.data, task.config.seed, task.config.fold)
    with SpectraFile(task.data) as file:
        parts = {holdout: _part(file, split, holdout) for holdout in Holdout}
        axis, n_classes = file.axis, len(file.class_names)
    choice = choose(
        baseline,
        axis,
        parts[Holdout.TRAIN],
        parts[Holdout.CALIBRATION],
        n_classes=n_classes,
        seed=task.config.seed,
        refit=task.refit,
    )
    test = parts[Holdout.TEST]
    spectra = choice.pipeline.bind(axis)(test.intensity)
    predicted = choice.classifier.scores(spectra).argmax(axis=1)
    row = {
        "variant": "",
        "accuracy": accuracy(test.labels, predicted),
        "balanced_accuracy": balanced_accuracy(test.labels, predicted, n_classes),
        "macs": choice.classifier.macs,
        "us": measure_us(choice.classifier, spectra[:TIMED_SPECTRA]),
    }
    return {
        "kind": "linear" if BASELINES[task.method].linear else "baseline",
        "runtime": choice.classifier.runtime,
        "rows": [row],
        "detail": {
            "preprocessing": choice.preprocessing,
            "setting": dict(choice.setting),
            "calibration_accuracy": choice.calibration_accuracy,
            "tried": choice.tried,
            "pipelines_left_out": choice.left_out,
            "refit": task.refit,
            "split": split.origin,
            "split_by": split.split_by,
            "spectra": {holdout.name.lower(): len(part.labels) for holdout, part in parts.items()},
        },
    }


def _part(file: SpectraFile, split: Split, holdout: Holdout) -> Part:
    rows = split.rows(holdout)
    return Part(file.read(rows), split.labels[rows])
