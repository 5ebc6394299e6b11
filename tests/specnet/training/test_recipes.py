"""Every recipe goes all the way: trained, saved, loaded, cached, calibrated, evaluated."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import specnet.training
from specnet.calibration import calibrate
from specnet.datasets import Holdout
from specnet.errors import ConfigurationError
from specnet.evaluation import evaluate
from specnet.training import RECIPES, TrainConfig, find_recipe, list_methods, load_run, train
from specnet.training.phases import create_phases

STAGES = 3
"""Of the preset `nano`."""
pytestmark = pytest.mark.usefixtures("one_thread")
BASE = TrainConfig(preset="nano", epochs=2, batch_size=24, preprocessing="snv", augmentation="light")


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_trained_calibrated_and_evaluated(name: str, small_file: Path, tmp_path: Path) -> None:
    recipe = find_recipe(name)
    config = recipe.config(BASE)
    config = replace(config, epochs=max(BASE.epochs, len(create_phases(config.phases, STAGES))))
    train(small_file, tmp_path / "run", config)
    run = load_run(tmp_path / "run")
    assert run.config == replace(config, additive=bool(config.additive))
    assert run.config.preset == recipe.changes.get("preset", "nano")
    assert all(np.isfinite(list(values.values())).all() for values in run.provenance["history"])
    assert run.additive == (bool(config.additive) and run.network.exit0 is not None)
    calibration_split, test = (run.cache(small_file, part) for part in (Holdout.CALIBRATION, Holdout.TEST))
    calibration = calibrate(
        calibration_split.logits, additive=run.additive, score=recipe.score, combiner=recipe.combiner
    )
    report = evaluate(test.logits, calibration, calibration_split.logits, classes=run.classes, split_by=run.split_by)
    assert 0.0 <= report["operating_point"]["accuracy"] <= 1.0
    if run.network.exit0 is not None:  # it is as good as alone, whatever is trained behind it
        right = (test.logits.logits[0].argmax(axis=1) == test.logits.labels).mean()
        assert right > 0.8


def test_unknown_recipes_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="unknown method 'magic'; known: specnet, static"):
        find_recipe("magic")


def test_every_method_has_its_paragraph() -> None:
    page = (Path(specnet.training.__file__).parent / "methods.md").read_text()
    assert [name for name in list_methods() if f"**`{name}`**" not in page] == []
    assert list_methods() == specnet.list_methods()
