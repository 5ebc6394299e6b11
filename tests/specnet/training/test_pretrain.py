"""A backbone learnt on random substances, and taken to other axes and classes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from specnet.datasets import Holdout, SpectraFile, read_spectra, write_spectra
from specnet.datasets.simulation import PRESETS, simulate
from specnet.errors import ConfigurationError, DatasetError, ModelError
from specnet.training import TrainConfig, train
from specnet.training.checking import check_recipe
from specnet.training.data import file_sha256
from specnet.training.pretrain import PRETRAINING, Backbone, checkpoint_of, pretrain

pytestmark = pytest.mark.usefixtures("one_thread")
RECIPE = TrainConfig(**{**PRETRAINING, "preset": "nano", "epochs": 3, "batch_size": 32, "seed": 4})


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """480 spectra of 24 random substances on 256 points."""
    table = simulate(replace(PRESETS["random"], n_classes=24, n_points=256, spectra_per_class=20))
    return write_spectra(tmp_path_factory.mktemp("corpus") / "corpus.h5", table)


@pytest.fixture(scope="module")
def backbone(one_thread: None, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    return pretrain(corpus, tmp_path_factory.mktemp("backbone") / "backbone.safetensors", RECIPE)


def test_the_file_has_stem_and_stages_and_says_what_they_come_from(backbone: Backbone, corpus: Path) -> None:
    tensors = load_file(backbone.path)
    assert {name.split(".")[0] for name in tensors} == {"stem", "stem_norm", "stages"}
    assert not any("halting" in name for name in tensors)
    assert sum(tensor.numel() for tensor in tensors.values()) == backbone.parameters
    with safe_open(backbone.path, framework="pt") as file:
        facts = {name: json.loads(value) for name, value in file.metadata().items()}
    assert (facts["preset"], facts["seed"], facts["epochs"]) == ("nano", 4, 3)
    assert facts["corpus_sha256"] == file_sha256(corpus)
    assert (facts["n_classes"], facts["n_points"]) == (24, backbone.n_points)
    assert facts["accuracy"] == backbone.accuracy
    assert not checkpoint_of(backbone.path).exists()


def test_only_the_test_part_is_held_out_and_three_epochs_beat_chance(backbone: Backbone, corpus: Path) -> None:
    with SpectraFile(corpus) as file:
        assert file.holdout is not None
        held_out = int((file.holdout == Holdout.TEST).sum())
    assert (backbone.n_held_out, backbone.n_train) == (held_out, 480 - held_out)
    assert len(backbone.accuracy) == 3
    assert backbone.accuracy[-1] > 3 / 24


def test_a_training_on_another_axis_and_other_classes_starts_from_it(
    backbone: Backbone, small_file: Path, tmp_path: Path
) -> None:
    config = TrainConfig(
        preset="nano",
        preprocessing="snv",
        augmentation="light",
        epochs=1,
        batch_size=32,
        learning_rate=1e-6,
        adaptivity="none",  # gates would be settled, and settled units have other names
    )
    run = train(small_file, tmp_path / "run", replace(config, backbone=str(backbone.path)))
    assert run.axis.n_points != backbone.n_points
    assert len(run.classes) == 6 != backbone.n_classes
    pretrained = load_file(backbone.path)
    state = run.network.state_dict()
    weights = [name for name in pretrained if name.endswith("weight")]
    assert len(weights) > 10
    for name in weights:  # at this rate a training changes next to nothing
        torch.testing.assert_close(state[name], pretrained[name], atol=1e-4, rtol=1e-3)
    fresh = train(small_file, tmp_path / "fresh", config).network.state_dict()
    assert any(not torch.allclose(fresh[name], pretrained[name], atol=1e-2) for name in weights)


def test_an_interrupted_pretraining_goes_on_to_the_same_weights(
    backbone: Backbone, corpus: Path, tmp_path: Path
) -> None:
    out = tmp_path / "again.safetensors"

    def stop(epoch: int, values: dict[str, float]) -> None:
        if epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pretrain(corpus, out, RECIPE, report=stop)
    assert checkpoint_of(out).exists()
    assert not out.exists()
    with pytest.raises(ModelError, match="unfinished pretraining; continue it with --resume"):
        pretrain(corpus, out, RECIPE)
    with pytest.raises(ModelError, match=r"belongs to another training: learning_rate was 0\.003, is now 0\.001"):
        pretrain(corpus, out, replace(RECIPE, learning_rate=1e-3), resume=True)
    epochs: list[int] = []
    pretrain(corpus, out, RECIPE, resume=True, report=lambda epoch, values: epochs.append(epoch))
    assert epochs == [3]
    first, second = load_file(backbone.path), load_file(out)
    assert all(torch.equal(first[name], second[name]) for name in first)
    with pytest.raises(ModelError, match=r"again.safetensors already exists; choose another name"):
        pretrain(corpus, out, RECIPE, resume=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"preset": "resnet1d"}, "preset 'resnet1d' has no backbone; known: nano, tiny"),
        ({"preprocessing": "auto"}, "preprocessing is 'auto', expected a name"),
        ({"preprocessing": "autoscale"}, "preprocessing 'autoscale' is fitted to its spectra"),
        ({"augmentation": "auto"}, "augmentation is 'auto', expected a name"),
        ({"additive": True}, "additive exits need an exit 0"),
        ({"backbone": "x.safetensors"}, "backbone is 'x.safetensors', expected none"),
    ],
)
def test_recipes_that_are_none_for_pretraining(
    corpus: Path, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        pretrain(corpus, tmp_path / "b.safetensors", replace(RECIPE, **changes))  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_a_corpus_of_one_class_teaches_nothing(corpus: Path, tmp_path: Path) -> None:
    table = read_spectra(corpus)
    assert table.labels is not None
    one = write_spectra(tmp_path / "one.h5", table.select(np.flatnonzero(table.labels == 3)))
    with pytest.raises(DatasetError, match="are of one class, expected at least two"):
        pretrain(one, tmp_path / "b.safetensors", RECIPE)


def test_a_backbone_of_another_network_is_refused_before_anything_is_computed(backbone: Backbone) -> None:
    fitting = TrainConfig(preset="nano", backbone=str(backbone.path), epochs=5)
    check_recipe(fitting, n_points=700, n_classes=9)
    with pytest.raises(ModelError, match="a backbone fits the preset, block and stem that it was trained with"):
        check_recipe(replace(fitting, preset="tiny"), n_points=700, n_classes=9)
    with pytest.raises(ModelError, match="backbone"):
        check_recipe(replace(fitting, block="plain"), n_points=700, n_classes=9)
    with pytest.raises(ConfigurationError, match="preset 'resnet1d' takes no backbone"):
        check_recipe(replace(fitting, preset="resnet1d"), n_points=700, n_classes=9)
