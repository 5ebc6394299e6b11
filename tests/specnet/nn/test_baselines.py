"""The baseline networks: shapes, cost, weights, and that they learn."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support_networks import random_spectra, randomise
from torch import Tensor, nn
from torch.nn import functional

from specnet.errors import ModelError
from specnet.nn import DENSE, SpecNet, create_model, list_models, load_weights, save_weights
from specnet.nn.ensemble1d import Ensemble1d, Ensemble1dConfig
from specnet.nn.msdnet1d import MSDNet1d, MSDNet1dConfig
from specnet.nn.protocol import ExitNetwork
from specnet.nn.resnet1d import PUBLISHED, ResNet1d, ResNet1dConfig

pytestmark = pytest.mark.usefixtures("one_thread")
BASELINES = ("resnet1d", "msdnet1d", "ensemble1d")
EXITS = {"resnet1d": 1, "msdnet1d": 4, "ensemble1d": 4}
CONFIGS: dict[str, type[ResNet1dConfig] | type[MSDNet1dConfig] | type[Ensemble1dConfig]] = {
    "resnet1d": ResNet1dConfig,
    "msdnet1d": MSDNet1dConfig,
    "ensemble1d": Ensemble1dConfig,
}


def _random(name: str, n_points: int, **changes: Any) -> ExitNetwork:
    torch.manual_seed(0)
    network = create_model(name, n_points=n_points, n_classes=5, **changes)
    randomise(network)  # type: ignore[arg-type]
    return network


def _parameters(network: ExitNetwork) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("name", list_models())
def test_every_model_of_the_registry_keeps_the_protocol(name: str) -> None:
    network = create_model(name, n_points=333, n_classes=4).eval()
    outputs = network(random_spectra(2, 333))
    stages = len(network.unit_macs())
    assert [tuple(logits.shape) for logits in outputs.logits] == [(2, 4)] * network.n_exits
    assert len(outputs.depths) == len(outputs.gates) == stages
    assert len(network.fixed_macs()) == network.n_exits
    assert all(macs > 0 for macs in network.fixed_macs())
    assert network.static_macs() >= sum(network.fixed_macs())
    assert (network.exit0 is not None) == isinstance(network, SpecNet)
    assert stages == (network.n_exits - 1 if isinstance(network, SpecNet) else 0)
    assert (network.config.n_points, network.config.n_classes) == (333, 4)


@pytest.mark.parametrize("length", [24, 128, 333, 1000])
@pytest.mark.parametrize("name", BASELINES)
def test_every_length_of_axis_has_its_exits(name: str, length: int) -> None:
    network = _random(name, length)
    outputs = network(random_spectra(3, length), DENSE)
    assert [tuple(logits.shape) for logits in outputs.logits] == [(3, 5)] * EXITS[name]
    assert all(torch.isfinite(logits).all() for logits in outputs.logits)
    with pytest.raises(ModelError, match=f"got {length + 1} points, expected {length}"):
        network(random_spectra(1, length + 1))


@pytest.mark.parametrize("length", [64, 333])
@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("resnet1d", {}),
        ("resnet1d", {"layers": 3, "blocks": 1, "width": 5, "kernel": 7}),
        ("msdnet1d", {}),
        ("msdnet1d", {"scales": 1, "exits": 2, "base": 1, "step": 3}),
        ("msdnet1d", {"scales": 4, "exits": 3, "base": 2, "step": 1, "growth": 3}),
        ("ensemble1d", {}),
        ("ensemble1d", {"members": 2, "width": 5}),
    ],
)
def test_macs_are_what_the_layers_multiply(name: str, changes: dict[str, Any], length: int) -> None:
    network = _random(name, length, **changes)
    counted = 0

    def count(module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal counted
        assert isinstance(module, (nn.Conv2d, nn.Linear))
        counted += module.weight.numel() * (output.shape[-1] if isinstance(module, nn.Conv2d) else 1)

    assert isinstance(network, nn.Module)
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.register_forward_hook(count)
    with torch.no_grad():
        network(random_spectra(1, length))
    assert network.static_macs() == sum(network.fixed_macs()) == counted


def test_sizes_are_those_promised() -> None:
    options = {"n_points": 1000, "n_classes": 30}
    small, tiny = (create_model(name, **options).static_macs() for name in ("small", "tiny"))
    assert create_model("resnet1d", **options).static_macs() == pytest.approx(small, rel=0.25)
    assert create_model("resnet1d", width=8, stem_channels=8, **options).static_macs() == pytest.approx(tiny, rel=0.25)
    assert create_model("ensemble1d", **options).static_macs() == pytest.approx(tiny, rel=0.25)
    published = create_model("resnet1d", **options, **PUBLISHED)
    assert published.static_macs() == pytest.approx(392e6, rel=0.01)
    assert published.config.to_dict()["layers"] == 6
    assert _parameters(create_model("msdnet1d", **options)) == pytest.approx(60_000, rel=0.25)


@pytest.mark.parametrize("name", BASELINES)
def test_peaks_at_another_place_change_the_answer(name: str) -> None:
    network = _random(name, 256)
    spectra = torch.zeros(2, 1, 256)
    spectra[0, 0, 64], spectra[1, 0, 192] = 1.0, 1.0  # equal but for a shift: global averages could not tell them
    for logits in network(spectra).logits:
        assert not torch.allclose(logits[0], logits[1], atol=1e-3)


def test_an_exit_of_the_dense_network_runs_nothing_that_only_later_ones_need() -> None:
    network = MSDNet1d(MSDNet1dConfig(n_points=128, n_classes=3)).eval()
    features = network.run_first(random_spectra(1, 128))
    features = [feature.requires_grad_() for feature in features]
    for index in range(network.n_exits):
        logits, features = network.run_exit(index, features)
        parameters = [p for _, layer in network.layers(index) for p in layer.parameters()]
        gradients = torch.autograd.grad(logits.sum(), parameters, retain_graph=True, allow_unused=True)
        assert all(gradient is not None for gradient in gradients)


@pytest.mark.parametrize("name", BASELINES)
def test_weights_come_back_exactly_and_as_the_same_kind(name: str) -> None:
    network = _random(name, 100)
    again = load_weights(network.config.to_dict(), save_weights(network))
    assert type(again) is type(network)
    assert not again.training
    assert again.config == network.config
    spectra = random_spectra(2, 100)
    with torch.no_grad():
        for a, b in zip(network(spectra).logits, again(spectra).logits, strict=True):
            assert torch.equal(a, b)


def test_weights_of_another_kind_or_width_are_refused() -> None:
    network = _random("resnet1d", 100)
    with pytest.raises(ModelError, match="the weights do not fit the network"):
        load_weights({**network.config.to_dict(), "width": 9}, save_weights(network))
    with pytest.raises(ModelError, match="the weights do not fit the network"):
        load_weights(_random("msdnet1d", 100).config.to_dict(), save_weights(network))
    with pytest.raises(ModelError, match="unknown architecture 'transformer'; known: specnet, resnet1d, msdnet1d"):
        load_weights({**network.config.to_dict(), "architecture": "transformer"}, save_weights(network))


def test_a_configuration_without_a_kind_is_ours() -> None:
    network = create_model("nano", n_points=100, n_classes=3)
    plain = network.config.to_dict()
    plain.pop("architecture", None)
    assert isinstance(load_weights(plain, save_weights(network)), SpecNet)
    assert isinstance(load_weights({**plain, "architecture": "specnet"}, save_weights(network)), SpecNet)


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_classes": 1}, "at least two classes, got 1"),
        ({"n_points": 0}, "n_points is 0, expected 1 to"),
        ({"n_points": 10**9}, "n_points is 1000000000"),
        ({"kernel": 4}, "kernel is 4, expected an odd number"),
        ({"kernel": "many"}, "many"),
        ({"depth": 3}, r"unknown fields of a \w+ \['depth'\]"),
        ({"architecture": "other"}, "got the configuration of a 'other', expected"),
    ],
)
def test_impossible_configurations_are_refused(name: str, change: dict[str, Any], message: str) -> None:
    plain = CONFIGS[name](n_points=64, n_classes=3).to_dict()
    assert CONFIGS[name].from_dict(plain).to_dict() == plain
    with pytest.raises(ModelError, match=message):
        CONFIGS[name].from_dict({**plain, **change})
    with pytest.raises(ModelError, match="is incomplete"):
        CONFIGS[name].from_dict({"n_points": 64})


def test_memory_bombs_are_refused_before_anything_is_built() -> None:
    for name, change in (("resnet1d", {"width": 10**9}), ("msdnet1d", {"growth": 10**9}), ("msdnet1d", {"exits": 99})):
        with pytest.raises(ModelError, match="expected 1 to"):
            create_model(name, n_points=64, n_classes=3, **change)


@pytest.mark.parametrize("name", BASELINES)
def test_a_few_steps_of_training_reduce_the_loss_of_every_exit(name: str) -> None:
    torch.manual_seed(0)
    network = create_model(name, n_points=64, n_classes=4)
    labels = torch.arange(32) % 4
    spectra = 0.3 * random_spectra(32, 64)
    spectra[torch.arange(32), 0, 8 + 16 * labels] += 3.0
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3)
    history = []
    network.train()
    for _ in range(15):
        losses = [functional.cross_entropy(logits, labels) for logits in network(spectra).logits]
        optimiser.zero_grad()
        torch.stack(losses).sum().backward()
        optimiser.step()
        history.append([float(loss.detach()) for loss in losses])
    assert len(history[0]) == network.n_exits
    assert all(last < 0.5 * first for first, last in zip(history[0], history[-1], strict=True))
    assert isinstance(network, (ResNet1d, MSDNet1d, Ensemble1d))


def test_members_of_an_ensemble_share_nothing() -> None:
    network = _random("ensemble1d", 64).train()
    logits = network(random_spectra(4, 64)).logits
    logits[1].sum().backward()
    assert isinstance(network, Ensemble1d)
    moved = [any(p.grad is not None and p.grad.any() for p in network.member(k).parameters()) for k in range(4)]
    assert moved == [False, True, False, False]
    first, second = (network.member(k).classify.weight for k in range(2))
    assert not torch.equal(first, second)
