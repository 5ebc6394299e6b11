"""How well a network tells materials that it never saw: some classes are left out of its training altogether.

Legend: C classes.
"""

from __future__ import annotations

import json
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
from specnet.files import write_json
from specnet.training import TrainConfig, load_run, train

FEWEST_KNOWN = 2
FALSE_ALARMS = tuple(round(0.01 * step, 2) for step in range(101))
"""Shares of known spectra called unknown at which ROC curves are read."""
RESULT = "rejection.json"
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
        For the run, the file without the classes, and the result; what is finished there is not done again.
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
    identity = {**config.to_dict(), "share": share, "false_alarm": false_alarm, "score": score, "data": data.name}
    if (done := _finished(folder / RESULT, identity)) is not None:
        return done
    table = read_spectra(data)
    left_out = choose_classes(len(table.class_names), share, config.seed)
    parts = hold_out(table, left_out)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "known.h5"
    if not file.exists():
        write_spectra(file, parts.known)
    finished = (folder / "run" / "run.json").exists() and not (folder / "run" / "checkpoint.safetensors").exists()
    run = load_run(folder / "run") if finished else train(file, folder / "run", config, resume=True, stage=stage)
    calibration = calibrate(
        run.cache(file, Holdout.CALIBRATION).logits,
        additive=run.additive,
        false_alarm=false_alarm,
        reject_score=score,
    )
    calibration.write(run.calibration_path)
    known = run.cache(file, Holdout.TEST).logits
    strangers = parts.unknown
    nothing = np.zeros(strangers.n_spectra, dtype=np.int64)  # they have no class that the network knows
    unknown = run.judge(strangers.intensity, nothing, strangers.axis).logits
    found = evaluate_rejection(calibration.policy, known, unknown)
    answers = route(calibration.policy, known.logits)
    document = {
        "identity": identity,
        **found,
        "roc": {name: _detections(calibration.policy, name, known, unknown) for name in REJECT_SCORES},
        "accuracy": float((answers.probabilities.argmax(axis=1) == known.labels).mean()),
        "left_out": [table.class_names[index] for index in left_out],
        "seed": config.seed,
    }
    write_json(folder / RESULT, document)
    return document


def _finished(path: Path, identity: dict[str, Any]) -> dict[str, Any] | None:
    try:
        kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return kept if isinstance(kept, dict) and kept.get("identity") == identity else None


def _detections(policy: ExitPolicy, score: str, known: CachedLogits, unknown: CachedLogits) -> list[float]:
    """Share of unknown spectra noticed at each of `FALSE_ALARMS`: the ROC curve, straight between its points."""
    from sklearn.metrics import roc_curve  # takes a second to load

    judging = msgspec.structs.replace(policy, reject=score)
    scores = [route(judging, split.logits).reject_scores for split in (known, unknown)]
    stranger = np.repeat([False, True], [known.n_spectra, unknown.n_spectra])
    alarms, found, _ = roc_curve(stranger, np.concatenate(scores))
    return [float(share) for share in np.interp(FALSE_ALARMS, alarms, found)]
