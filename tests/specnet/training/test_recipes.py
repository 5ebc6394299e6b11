"""Every recipe goes all the way: trained, saved, loaded, calibrated, evaluated, exported, and packed into a bundle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import specnet.training
from specnet.calibration import Calibration, calibrate
from specnet.datasets import Holdout
from specnet.errors import ConfigurationError
from specnet.evaluation import evaluate
from specnet.exits import route
from specnet.export.latency import ExitChain
from specnet.nn import SpecNet
from specnet.packing import pack
from specnet.runtime import load_bundle
from specnet.training import RECIPES, Run, TrainConfig, find_recipe, list_methods, load_run, train
from specnet.training.phases import create_phases
from specnet.training.pilots import without_pilots

STAGES = 3
"""Of the preset `nano`."""
pytestmark = pytest.mark.usefixtures("one_thread")
BASE = TrainConfig(preset="nano", epochs=2, batch_size=24, preprocessing="snv", augmentation="light")


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_trained_evaluated_and_packed(name: str, small_file: Path, tmp_path: Path) -> None:
    recipe = find_recipe(name)
    config = recipe.config(BASE)
    config = replace(config, epochs=max(BASE.epochs, len(create_phases(config.phases, STAGES))))
    train(small_file, tmp_path / "run", config)
    run = load_run(tmp_path / "run")
    assert run.config == without_pilots(config).settled(config)
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
    chain = ExitChain(run.network, test.spectra)
    for row in range(0, len(test.spectra), 9):
        said = np.concatenate(chain.run(test.spectra[row])[0])
        np.testing.assert_allclose(said, test.logits.logits[:, row], rtol=1e-3, atol=1e-3)
    if isinstance(run.network, SpecNet):
        _check_bundle(run, small_file, calibration, tmp_path / "method.specnet")


def _check_bundle(run: Run, data: Path, calibration: Calibration, path: Path) -> None:
    """The bundle answers spectra as the calibrated run does, at the same exits."""
    calibration.write(run.calibration_path)
    pack(run, data, path, name="method")
    raw, _, axis = run.read_part(data, Holdout.TEST)
    routing = route(calibration.policy, run.cache(data, Holdout.TEST).logits.logits)
    found = load_bundle(path).predict(raw, axis)
    same = found.exit_index == routing.exit_index  # thresholds are scores of spectra: rounding may decide a tie
    assert same.mean() > 0.9
    np.testing.assert_allclose(found.probabilities[same], routing.probabilities[same], atol=1e-3)


def test_unknown_recipes_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="unknown method 'magic'; known: specnet, static"):
        find_recipe("magic")


def test_every_method_has_its_paragraph() -> None:
    page = (Path(specnet.training.__file__).parent / "methods.md").read_text()
    assert [name for name in list_methods() if f"**`{name}`**" not in page] == []
    assert list_methods() == specnet.list_methods()
