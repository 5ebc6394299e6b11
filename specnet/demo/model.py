"""The first half of the demonstration: simulated minerals, a trained network, its bundle."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from specnet.calibration import calibrate
from specnet.console import progress
from specnet.datasets import Holdout, SpectraTable, read_spectra, write_spectra
from specnet.datasets.simulation import PRESETS, SimulationConfig, simulate
from specnet.errors import ModelError
from specnet.exits import ExitPolicy
from specnet.files import write_json
from specnet.packing import pack
from specnet.training import CachedRun, Run, TrainConfig, load_run, train, use_threads
from specnet.training.bottleneck_once import bottleneck_once
from specnet.training.bottleneck_recipe import BottleneckRecipe

RECIPE = TrainConfig(
    preset="peaks", active_target=0.3, preprocessing="raman", augmentation="light", additive=False, epochs=20
)
RECIPE_FILE = "recipe.json"
SPLIT = 1
"""The device runs exit 0 and stage 1 with exit 1; the gateway runs stages 2 to 4."""
BOTTLENECK = BottleneckRecipe(split=SPLIT, price=3e-4, latent=12, epochs=20)
"""Trained longer than by default: what it is for are the spectra on which the device is not sure."""


@dataclass(frozen=True)
class DemoModel:
    """Files of the first half, and the held-out spectra that the device will see."""

    run: Run
    data: Path
    bundle: Path
    replay: Path
    held_out: SpectraTable


def prepare(
    folder: Path,
    *,
    n: int | None,
    seed: int,
    fresh: bool,
    stage: Callable[[str], None],
    training: TrainConfig = RECIPE,
    simulation: SimulationConfig = PRESETS["demo"],
    bottleneck: BottleneckRecipe = BOTTLENECK,
) -> DemoModel:
    """Simulate, train, calibrate, export; what an earlier demonstration with the same recipe left is used again.

    Parameters
    ----------
    folder
        Where everything is written.
    n
        Held-out spectra to replay; None for the whole test part.
    seed
        Of simulation, training and the choice of spectra.
    fresh
        Begin from nothing.
    stage
        Called with a sentence when something longer begins.
    training, simulation
        The network and its spectra; their seeds are replaced.
    bottleneck
        What the features of an uncertain spectrum are sent through.

    Raises
    ------
    ModelError
        When the test part has fewer than n spectra.
    """
    config = dataclasses.replace(training, seed=seed)
    simulation = dataclasses.replace(simulation, seed=seed)
    identity = recipe(config, simulation)
    data, run_folder = folder / "minerals.h5", folder / "run"
    if fresh or not _is_made_by(folder, identity):
        shutil.rmtree(run_folder, ignore_errors=True)
        (folder / RECIPE_FILE).unlink(missing_ok=True)
        stage("simulating Raman spectra of minerals")
        with progress("simulating", None):
            write_spectra(data, simulate(simulation))
        run = _train(data, run_folder, config, stage)
        write_json(folder / RECIPE_FILE, identity)
    else:
        stage(f"using the network that an earlier demonstration trained in {run_folder} (--fresh trains a new one)")
        run = load_run(run_folder)
    stage("calibrating exits, learning to send features in a few bytes, exporting the bundle")
    held = run.cache(data, Holdout.CALIBRATION)
    calibration = calibrate(held.logits, additive=run.additive)
    calibration.write(run.calibration_path)
    _learn_to_send(run, data, bottleneck, held, calibration.policy)
    bundle = folder / "minerals.specnet"
    pack(run, data, bundle, name="minerals", fastest=True)
    replay, held_out = _held_out(data, folder, n, seed)
    return DemoModel(run, data, bundle, replay, held_out)


def recipe(training: TrainConfig, simulation: SimulationConfig) -> dict[str, Any]:
    """Describe what a folder was made with, in the form of its file `RECIPE_FILE`."""
    return {"training": training.to_dict(), "simulation": dataclasses.asdict(simulation)}


def _is_made_by(folder: Path, identity: dict[str, Any]) -> bool:
    try:
        known = json.loads((folder / RECIPE_FILE).read_text())
        load_run(folder / "run")
    except (OSError, ValueError, ModelError):
        return False
    return bool(known == json.loads(json.dumps(identity)))


def _train(data: Path, run_folder: Path, config: TrainConfig, stage: Callable[[str], None]) -> Run:
    use_threads(config.preset)
    with progress(f"training {config.preset}", config.epochs) as advance:

        def report(epoch: int, values: dict[str, float]) -> None:
            advance(1, f"loss {values['cross_entropy']:.2f}, units active {values['active_share']:.0%}")

        return train(data, run_folder, config, report=report, stage=stage)


def _learn_to_send(run: Run, data: Path, recipe: BottleneckRecipe, held: CachedRun, policy: ExitPolicy) -> None:
    with progress("training the bottleneck", None) as advance:

        def report(epoch: int, values: dict[str, float]) -> None:
            advance(1, f"epoch {epoch} of {values['epochs']:.0f}, {values['bytes']:.0f} bytes")

        bottleneck_once(run, data, recipe, held, policy, report=report)


def _held_out(data: Path, folder: Path, n: int | None, seed: int) -> tuple[Path, SpectraTable]:
    """Write a random choice of the test part, in random order, as the file that the spectrometer replays."""
    table = read_spectra(data)
    rows = table.rows(Holdout.TEST)
    if n is not None and not 1 <= n <= len(rows):
        raise ModelError(f"{n} spectra were asked for, the test part has {len(rows)}")
    chosen = table.select(np.random.default_rng(seed).permutation(rows)[:n])
    return write_spectra(folder / "replay.h5", chosen), chosen
