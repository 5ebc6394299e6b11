"""The network of a recipe: its parts, its exit 0, and a backbone that was trained elsewhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from specnet.errors import ModelError
from specnet.nn import SpecNet, create_model
from specnet.training import TrainConfig
from specnet.training.building import MAX_BACKBONE_BYTES, build_network, load_backbone, save_backbone
from specnet.training.linear import LinearChoice, choose_linear
from specnet.training.linear_models import CANDIDATES

pytestmark = pytest.mark.usefixtures("one_thread")
POINTS, CLASSES = 120, 4
CONFIG = TrainConfig(
    preset="nano", block="ghost", head="pooled", tap="channel_split", adaptivity="ponder", additive=True
)


def _spectra() -> torch.Tensor:
    return torch.randn(60, POINTS, generator=torch.Generator().manual_seed(1))


def _linear(name: str) -> LinearChoice:
    spectra = _spectra().numpy()
    labels = np.arange(60) % CLASSES
    only = {name: CANDIDATES[name]}
    return choose_linear(spectra, labels, None, CLASSES, bin_points=3, seed=0, candidates=only)


def _specnet(preset: str = "nano", seed: int = 0, *, n_points: int = POINTS, n_classes: int = CLASSES) -> SpecNet:
    torch.manual_seed(seed)
    network = create_model(preset, n_points=n_points, n_classes=n_classes)
    assert isinstance(network, SpecNet)
    return network


@pytest.mark.parametrize(("name", "bin_points"), [("softmax_0.03", 3), ("ridge_0.001", 1)])
def test_a_network_is_built_as_the_recipe_says(name: str, bin_points: int) -> None:
    linear = _linear(name)
    network = build_network(CONFIG, POINTS, CLASSES, linear)
    assert isinstance(network, SpecNet)
    config = network.config
    assert (config.block, config.head, config.tap, config.adaptivity) == ("ghost", "pooled", "channel_split", "ponder")
    assert (config.additive, config.linear_bin) == (True, bin_points)
    spectra = _spectra()
    pooled = spectra.double().reshape(60, -1, bin_points).mean(dim=2).numpy()
    with torch.no_grad():
        outputs = network.eval()(spectra[:, None])
    np.testing.assert_allclose(outputs.logits[0].numpy(), linear.scores(pooled), rtol=1e-3, atol=1e-3)
    # additive exits begin as exit 0
    assert all((logits == 0).all() for logits in outputs.logits[1:])
    alone = build_network(replace(CONFIG, additive=False), POINTS, CLASSES, linear)
    with torch.no_grad():
        assert all((logits != 0).any() for logits in alone.eval()(spectra[:, None]).logits[1:])


@pytest.mark.parametrize("preset", ["resnet1d", "msdnet1d"])
def test_networks_without_an_exit_0_do_without(preset: str) -> None:
    network = build_network(replace(CONFIG, preset=preset), POINTS, CLASSES, _linear("ridge_0.001"))
    assert network.exit0 is None


def test_unknown_presets_are_refused() -> None:
    with pytest.raises(ModelError, match="unknown preset 'huge'; known: nano"):
        build_network(replace(CONFIG, preset="huge"), POINTS, CLASSES, _linear("ridge_0.001"))


def test_a_backbone_goes_into_a_network_with_another_axis_and_other_classes(tmp_path: Path) -> None:
    source = _specnet(seed=1)
    with torch.no_grad():
        for weight in source.parameters():
            weight.add_(0.1)
        source.stem_norm.running_mean.fill_(0.7)
    path = save_backbone(source, tmp_path / "backbone.safetensors", {"trained_on": "minerals"})
    other = _specnet(seed=2, n_points=500, n_classes=9)
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    load_backbone(other, path)
    taken = 0
    for name, tensor in other.state_dict().items():
        if name.startswith(("stem", "stages")) and ".halting." not in name:
            assert torch.equal(tensor, source.state_dict()[name]), name
            taken += not torch.equal(tensor, before[name])
        else:  # heads, exit 0 and the scores of the gates
            assert torch.equal(tensor, before[name]), name
    assert taken > 10


def test_a_recipe_with_a_backbone_begins_with_it(tmp_path: Path) -> None:
    source = _specnet(seed=1)
    path = save_backbone(source, tmp_path / "backbone.safetensors", {})
    config = TrainConfig(preset="nano", backbone=str(path))
    network = build_network(config, POINTS, CLASSES, _linear("ridge_0.001"))
    assert torch.equal(network.state_dict()["stem.weight"], source.stem.weight)


def test_a_backbone_of_another_preset_is_refused_with_both_shapes(tmp_path: Path) -> None:
    path = save_backbone(_specnet("nano"), tmp_path / "nano.safetensors", {})
    tiny = _specnet("tiny")
    before = tiny.stem.weight.clone()
    with pytest.raises(ModelError, match=r"has shape \(8, 1, 1, 9\) for stem.weight, this network \(12, 1, 1, 9\)"):
        load_backbone(tiny, path)
    assert torch.equal(tiny.stem.weight, before)


def test_a_backbone_with_a_weight_missing_is_refused(tmp_path: Path) -> None:
    path = save_backbone(_specnet(n_points=20), tmp_path / "short.safetensors", {})  # a short axis has fewer stages
    with pytest.raises(ModelError, match=r"has nothing for stages\.2\.\S+, this network \("):
        load_backbone(_specnet(), path)


def test_files_that_are_no_backbone_are_refused(tmp_path: Path) -> None:
    network, path = _specnet(), tmp_path / "backbone.safetensors"
    with pytest.raises(ModelError, match=r"cannot read backbone .*: No such file"):
        load_backbone(network, path)
    save_backbone(network, path, {})
    whole = path.read_bytes()
    for damaged in (b"", b"no weights", whole[:-50], whole[:8] + b"[" + whole[9:]):
        path.write_bytes(damaged)
        with pytest.raises(ModelError, match="is damaged or no safetensors"):
            load_backbone(network, path)
    with path.open("r+b") as file:
        file.truncate(MAX_BACKBONE_BYTES + 1)
    with pytest.raises(ModelError, match=f"has {MAX_BACKBONE_BYTES + 1} bytes, at most {MAX_BACKBONE_BYTES} are read"):
        load_backbone(network, path)
