"""What searches are given of a file of spectra: everything but its test part."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support_search import read, search, without_seconds

from specnet.datasets import Holdout, read_spectra, write_spectra
from specnet.errors import ConfigurationError, ModelError, SpectrumError
from specnet.training import train_network
from specnet.tuning.architecture.judging import Cost, CostLimit, Task, build, judge, measure
from specnet.tuning.architecture.searches import Place
from specnet.tuning.architecture.space import SearchSpace

pytestmark = pytest.mark.usefixtures("one_thread")


def test_it_has_the_training_and_the_calibration_part(hard_file: Path, task: Task) -> None:
    holdout = read_spectra(hard_file).holdout
    assert holdout is not None
    assert len(task.training) == np.sum(holdout == Holdout.TRAIN) > 0
    assert len(task.held_out) == len(task.labels) == np.sum(holdout == Holdout.CALIBRATION) > 0
    assert task.held_out.shape[1] == task.n_points == task.training[0][0].shape[0]
    recipe = task.config
    assert (recipe.augmentation, recipe.additive, recipe.adaptivity) == ("light", False, "none")
    assert task.offsets is None


def test_a_search_does_not_read_the_test_part(hard_file: Path, task: Task, space: SearchSpace, tmp_path: Path) -> None:
    """Test spectra of nothing but zeros, with wrong labels, cannot be preprocessed, and change nothing."""
    table = read_spectra(hard_file)
    assert table.holdout is not None
    assert table.labels is not None
    test = table.holdout == Holdout.TEST
    intensity, labels = table.intensity.copy(), table.labels.copy()
    intensity[test], labels[test] = 0, 0
    poisoned = write_spectra(tmp_path / "poisoned.h5", replace(table, intensity=intensity, labels=labels))
    other = read(poisoned)
    with pytest.raises(SpectrumError):
        read(write_spectra(tmp_path / "all.h5", replace(table, intensity=np.zeros_like(intensity))))
    results = []
    for number, one in enumerate((task, other)):
        folder = tmp_path / str(number)
        folder.mkdir()
        results.append(search(one, space, Place(folder), trials=3))
    assert other.data_sha256 != task.data_sha256
    assert without_seconds(results[0].candidates) == without_seconds(results[1].candidates)


def test_networks_of_one_shape_are_the_same_each_time(task: Task, space: SearchSpace) -> None:
    architecture = space.sample(np.random.default_rng(2))
    first, second = (build(task, architecture) for _ in range(2))
    assert first.config.widths == architecture.widths
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name]), name


def test_a_shape_with_more_stages_than_the_axis_bears_is_refused(task: Task, space: SearchSpace) -> None:
    architecture = replace(space.sample(np.random.default_rng(2)), widths=(4,) * 9, units=(0,) * 9)
    with pytest.raises(ModelError, match="150 points bear 5 stages, the shape has 9"):
        build(task, architecture)


def test_cost_is_the_networks_and_limits_are_kept(task: Task, space: SearchSpace) -> None:
    network = build(task, space.sample(np.random.default_rng(3)))
    assert measure(network, task) == Cost(network.static_macs(), None)
    timed = measure(network, task, timed=True)
    assert timed.us is not None
    assert timed.us > 0
    macs = network.static_macs()
    assert CostLimit(macs=macs).allows(timed)
    assert not CostLimit(macs=macs - 1).allows(timed)
    assert not CostLimit(us=timed.us / 2).allows(timed)
    # time is not measured of what has too many MACs
    assert measure(network, replace(task, limit=CostLimit(macs=macs - 1, us=1e9))).us is None
    assert measure(network, replace(task, limit=CostLimit(macs=macs, us=1e9))).us is not None
    with pytest.raises(ConfigurationError, match="limit of -1 MACs"):
        CostLimit(macs=-1)


@pytest.mark.parametrize("additive", [False, True])
def test_training_makes_a_network_better_than_exit_0_alone(hard_file: Path, space: SearchSpace, additive: bool) -> None:
    task = read(hard_file, additive=additive)
    network = build(task, space.sample(np.random.default_rng(4)))
    before = judge(network, task)
    network.train()
    assert judge(network, task) == before
    assert network.training
    assert (task.offsets is not None) == additive
    train_network(network, task.training, replace(task.config, epochs=12), offsets=task.offsets)
    assert judge(network, task).nats < before.nats


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"preset": "resnet1d"}, "'resnet1d' has no shape"),
        ({"backbone": "weights.safetensors"}, "backbone weights.safetensors, which fits one shape"),
        ({"bottleneck": 1}, "a bottleneck at split 1"),
    ],
)
def test_recipes_that_fix_the_shape_are_refused(hard_file: Path, changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        read(hard_file, **changes)
