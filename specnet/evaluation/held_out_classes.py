"""How well a network tells materials that it never saw: some classes are left out of its training altogether.

Legend: C classes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from specnet.calibration import CachedLogits, calibrate
from specnet.datasets import Holdout, SpectraTable, read_spectra, write_spectra
from specnet.errors import ConfigurationError, DatasetError
from specnet.evaluation.rejection import evaluate_rejection
from specnet.exits import REJECT_SCORES, ExitPolicy, route
from specnet.training import TrainConfig, trained_once
from specnet.training.data import file_sha256

FEWEST_KNOWN = 2
FALSE_ALARMS = tuple(round(0.01 * step, 2) for step in range(101))
"""Shares of known spectra called unknown at which ROC curves are read."""
Stage = Callable[[str], None]


@dataclass(frozen=True)
class HeldOut:
    """A table divided by class: `known` has only the classes that are kept, `unknown` the spectra of the others."""

    known: SpectraTable
    unknown: SpectraTable


def choose_classes(n_classes: int, share: float, seed: int) -> NDArray[np.int64]:
    """Draw the classes that are left out, ascending: a share of all, at least one, and at least two stay.

    Raises
    ------
    ConfigurationError
        When the share is none, or there are fewer than three classes.
    """
    if not 0 < share < 1:
        raise ConfigurationError(f"the share of classes left out is {share}, expected between 0 and 1")
    if n_classes <= FEWEST_KNOWN:
        raise ConfigurationError(f"leaving classes out needs at least {FEWEST_KNOWN + 1} of them, got {n_classes}")
    n = min(max(1, round(share * n_classes)), n_classes - FEWEST_KNOWN)
    return np.sort(np.random.default_rng(seed).permutation(n_classes)[:n])


def hold_out(table: SpectraTable, classes: NDArray[np.int64]) -> HeldOut:
    """Divide labelled spectra by class; the kept classes are numbered anew.

    Raises
    ------
    DatasetError
        Without labels.
    """
    if table.labels is None:
        raise DatasetError("these spectra have no labels, so no class can be left out")
    kept = np.setdiff1d(np.arange(len(table.class_names)), classes)
    number = np.full(len(table.class_names) + 1, -1, dtype=np.int64)  # the last stands for spectra without a class
    number[kept] = np.arange(len(kept))
    known = table.select(number[table.labels] >= 0)
    assert known.labels is not None
    known = replace(
        known,
        labels=number[known.labels],
        class_names=tuple(table.class_names[index] for index in kept),
        bands=None,  # they count all classes
    )
    return HeldOut(known, table.select(np.isin(table.labels, classes)))


def rejection_of_held_out(
    data: Path,
    folder: Path,
    config: TrainConfig,
    *,
    share: float,
    false_alarm: float,
    score: str,
    stage: Stage = lambda text: None,
) -> dict[str, Any]:
    """Train without some classes, set the reject rule on calibration spectra, and show it what it never saw.

    Parameters
    ----------
    data
        Labelled spectra.
    folder
        For the file without the classes, and the run; a run that is finished there is not trained again.
    config
        The recipe; its seed also draws the classes.
    share
        Of the classes that are left out.
    false_alarm
        Largest share of spectra of known classes that may be called unknown.
    score
        What the rule looks at, a name in `specnet.exits.REJECT_SCORES`.
    stage
        Called with a sentence when something longer begins.

    Returns
    -------
    dict
        What `specnet.evaluation.evaluate_rejection` found, with the accuracy on known test spectra, the classes that
        were left out, and ``roc``: the detection of each score at the false alarms `FALSE_ALARMS`.

    Raises
    ------
    ConfigurationError, DatasetError, ModelError
        When data and options do not fit.
    """
    table = read_spectra(data)
    left_out = choose_classes(len(table.class_names), share, config.seed)
    parts = hold_out(table, left_out)
    known_file = folder / f"known-{_mark(file_sha256(data), left_out)}.h5"
    if not known_file.exists():
        write_spectra(known_file, parts.known)
    run = trained_once(known_file, folder, "run", config, stage=stage)
    calibration = calibrate(
        run.cache(known_file, Holdout.CALIBRATION).logits,
        additive=run.additive,
        false_alarm=false_alarm,
        reject_score=score,
    )
    calibration.write(run.calibration_path)
    known = run.cache(known_file, Holdout.TEST).logits
    strangers = parts.unknown
    nothing = np.zeros(strangers.n_spectra, dtype=np.int64)  # they have no class that the network knows
    unknown = run.judge(strangers.intensity, nothing, strangers.axis).logits
    found = evaluate_rejection(calibration.policy, known, unknown)
    answers = route(calibration.policy, known.logits)
    return {
        **found,
        "roc": {name: _detections(calibration.policy, name, known, unknown) for name in REJECT_SCORES},
        "accuracy": float((answers.probabilities.argmax(axis=1) == known.labels).mean()),
        "left_out": [table.class_names[index] for index in left_out],
        "seed": config.seed,
    }


def _mark(data_sha256: str, left_out: NDArray[np.int64]) -> str:
    """Eight digits that other data, or other classes left out, do not have."""
    return hashlib.sha256(f"{data_sha256} {left_out.tolist()}".encode()).hexdigest()[:8]


def _detections(policy: ExitPolicy, score: str, known: CachedLogits, unknown: CachedLogits) -> list[float]:
    """Share of unknown spectra noticed at each of `FALSE_ALARMS`: the ROC curve, straight between its points."""
    from sklearn.metrics import roc_curve  # takes a second to load

    judging = msgspec.structs.replace(policy, reject=score)
    scores = [route(judging, split.logits).reject_scores for split in (known, unknown)]
    stranger = np.repeat([False, True], [known.n_spectra, unknown.n_spectra])
    alarms, found, _ = roc_curve(stranger, np.concatenate(scores))
    return [float(share) for share in np.interp(FALSE_ALARMS, alarms, found)]
