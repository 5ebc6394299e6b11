"""Shapes that a search may choose: every one of them builds, is kept in a file, and stays in the space."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from specnet.errors import ConfigurationError, ModelError
from specnet.nn import SpecNet, create_model
from specnet.training import TrainConfig
from specnet.tuning.architecture.space import (
    Architecture,
    SearchSpace,
    read_architecture,
    write_architecture,
)


def built(architecture: Architecture, n_points: int) -> SpecNet:
    """The network that a recipe with it asks for."""
    recipe = TrainConfig(**architecture.training_options)
    network = create_model("tiny", n_points=n_points, n_classes=7, **recipe.network_options)
    assert isinstance(network, SpecNet)
    return network


@pytest.mark.parametrize("n_points", [20, 100, 299, 300, 1000])
def test_every_draw_builds_what_it_says(n_points: int) -> None:
    space, rng = SearchSpace.for_axis(n_points), np.random.default_rng(0)
    for _ in range(40):
        drawn = space.sample(rng)
        config = built(drawn, n_points).config
        assert (config.widths, config.units, config.block) == (drawn.widths, drawn.units, drawn.block)
        assert (config.stem_channels, config.head_bins) == (drawn.stem_channels, drawn.head_bins)
        assert config.head_channels == drawn.head_channels


def test_children_stay_in_the_space_and_differ() -> None:
    space, rng = SearchSpace.for_axis(1000), np.random.default_rng(1)
    parents = [space.sample(rng) for _ in range(50)]
    assert {parent.n_stages for parent in parents} == set(space.stages)
    for mother, father in zip(parents, reversed(parents), strict=True):
        child, changed = space.cross(mother, father, rng), space.mutate(mother, rng)
        assert child in space
        assert changed in space
        for k, width in enumerate(child.widths):
            assert width in {parent.widths[k] for parent in (mother, father) if k < parent.n_stages}
    assert space.mutate(parents[0], rng, rate=0.0) == parents[0]
    assert len({space.mutate(parents[0], rng, rate=0.5) for _ in range(50)}) > 40


def test_what_is_outside_is_outside() -> None:
    space = SearchSpace.for_axis(1000)
    inside = space.sample(np.random.default_rng(2))
    assert inside in space
    assert Architecture(**{**inside.training_options, "head_bins": 3}) not in space
    assert Architecture(**{**inside.training_options, "widths": (7,) * inside.n_stages}) not in space


def test_a_short_axis_has_fewer_stages() -> None:
    assert SearchSpace.for_axis(16).stages == (2,)
    assert max(SearchSpace.for_axis(1000).stages) == 5
    with pytest.raises(ConfigurationError, match="6 points are too few"):
        SearchSpace.for_axis(6)


def test_impossible_spaces_are_refused() -> None:
    space = SearchSpace.for_axis(1000)
    with pytest.raises(ConfigurationError, match="distinct choices"):
        SearchSpace(space.stages, space.widths, (1, 1), space.blocks, (8,), (8,), (8,))
    with pytest.raises(ConfigurationError, match="widths for 2 stages, expected 5"):
        SearchSpace(space.stages, space.widths[:2], (1,), space.blocks, (8,), (8,), (8,))


def test_file_round_trip_and_what_is_wrong_with_others(tmp_path: Path) -> None:
    architecture = SearchSpace.for_axis(1000).sample(np.random.default_rng(3))
    path = write_architecture(tmp_path / "a.json", architecture, {"trials": 3})
    assert read_architecture(path) == architecture
    document = json.loads(path.read_text())
    for change, message in (
        ({"format": "other"}, "no architecture"),
        ({"format_version": 9}, "version 9, expected 1"),
        ({"architecture": 4}, "has no field architecture"),
        ({"architecture": {**document["architecture"], "more": 1}}, "more"),
        ({"architecture": {**document["architecture"], "widths": []}}, "every stage has a width"),
    ):
        path.write_text(json.dumps({**document, **change}))
        with pytest.raises(ModelError, match=message):
            read_architecture(path)
    path.write_text("{")
    with pytest.raises(ModelError, match="no JSON"):
        read_architecture(path)
    with pytest.raises(ModelError, match="cannot read architecture"):
        read_architecture(tmp_path / "missing.json")
