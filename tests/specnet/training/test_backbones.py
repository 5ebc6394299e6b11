"""Backbones that come with the software fit the presets they are for, and start trainings that need no file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from specnet.errors import ConfigurationError
from specnet.nn import create_model
from specnet.nn.config import PRESETS
from specnet.training import TrainConfig, train
from specnet.training.backbones import FOLDER, backbone_path, has_shipped
from specnet.training.building import BACKBONE, load_backbone
from specnet.training.config import SHIPPED

FILES = sorted(FOLDER.glob("*.safetensors"))
pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_default_preset_has_one() -> None:
    assert has_shipped(TrainConfig())
    assert backbone_path(TrainConfig(backbone=SHIPPED)) in FILES
    assert sum(path.stat().st_size for path in FILES) < 1 << 20
    assert {path.stem for path in FILES} <= set(PRESETS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
@pytest.mark.parametrize("options", [{"adaptivity": "gate"}, {"adaptivity": "ponder"}, {"adaptivity": "none"}])
@pytest.mark.parametrize("n_points", [96, 1000])
def test_it_fits_every_network_of_its_preset(path: Path, options: dict[str, Any], n_points: int) -> None:
    network: Any = create_model(path.stem, n_points=n_points, n_classes=3, **options)
    load_backbone(network, path)
    held, own = load_file(path), network.state_dict()
    taken = [name for name in own if name.startswith(BACKBONE) and ".halting." not in name]
    assert taken
    assert all(torch.equal(own[name], held[name]) for name in taken)
    assert all(torch.isfinite(tensor).all() for tensor in held.values())


@pytest.mark.parametrize(
    "changes",
    [{"preset": "nano"}, {"block": "residual"}, {"stage": "g_ghost"}, {"stem_channels": 8}, {"preset": "resnet1d"}],
)
def test_there_is_none_for_other_networks(changes: dict[str, Any]) -> None:
    assert not has_shipped(TrainConfig(**changes))
    with pytest.raises(ConfigurationError, match=r"no backbone for preset .* comes with the software, only for tiny"):
        backbone_path(TrainConfig(**changes, backbone=SHIPPED))


def test_a_training_starts_from_it_by_name(small_file: Path, tmp_path: Path) -> None:
    recipe = TrainConfig(epochs=1, preprocessing="snv", augmentation="light", backbone=SHIPPED, learning_rate=1e-9)
    run: Any = train(small_file, tmp_path / "run", recipe)
    assert run.config.backbone == SHIPPED
    weights, held = run.network.state_dict(), load_file(backbone_path(recipe))
    name = next(name for name in sorted(held) if held[name].ndim > 1)
    assert torch.allclose(weights[name], held[name], atol=1e-6)
    plain: Any = train(small_file, tmp_path / "plain", TrainConfig(**{**recipe.to_dict(), "backbone": "auto"}))
    assert plain.config.backbone == ""
    assert not torch.allclose(plain.network.state_dict()[name], held[name], atol=1e-2)
