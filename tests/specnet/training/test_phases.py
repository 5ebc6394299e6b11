"""Which epochs belong to which phase, and what a phase moves and leaves alone."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from specnet.errors import ConfigurationError
from specnet.nn import SpecNet, create_model
from specnet.training import PHASES, TrainConfig, train_network
from specnet.training.checking import check_recipe
from specnet.training.phases import Phase, create_phases, freeze, stretches

pytestmark = pytest.mark.usefixtures("one_thread")
POINTS = 64


def toy(n: int = 48, n_classes: int = 2) -> Any:
    """Spectra that are told apart by a slope, and their labels."""
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(n) % n_classes
    slopes = labels[:, None] * torch.linspace(-1, 1, POINTS)
    return TensorDataset(torch.randn(n, POINTS, generator=generator) + slopes, labels)


def _network(**changes: Any) -> SpecNet:
    torch.manual_seed(0)
    network = create_model("nano", n_points=POINTS, n_classes=2, **changes)
    assert isinstance(network, SpecNet)
    return network


def _state(network: SpecNet) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def _changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}


@pytest.mark.parametrize("name", PHASES)
def test_stretches_follow_each_other_through_all_epochs(name: str) -> None:
    phases = PHASES[name]
    assert sum(phase.share for phase in phases) == pytest.approx(1.0)
    for epochs in (*range(len(phases), 12), 97):
        found = stretches(phases, epochs)
        assert [stretch.phase for stretch in found] == list(phases)
        assert [epoch for stretch in found for epoch in range(stretch.first, stretch.end)] == list(range(epochs))
        assert all(stretch.end > stretch.first for stretch in found)
        for stretch in found:
            assert stretch.progress(stretch.first, 0.0) == 0.0
            assert stretch.progress(stretch.end - 1, 1.0) == 1.0


def test_epochs_are_shared_out_as_the_phases_say() -> None:
    assert [(s.first, s.end) for s in stretches(PHASES["heads"], 10)] == [(0, 7), (7, 10)]
    tiny_first = (Phase("a", 0.01), Phase("b", 0.98), Phase("c", 0.01))
    assert [(s.first, s.end) for s in stretches(tiny_first, 4)] == [(0, 1), (1, 3), (3, 4)]


def test_fewer_epochs_than_phases_and_unknown_phases_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="2 phases need at least as many epochs, got 1"):
        stretches(PHASES["mixed"], 1)
    with pytest.raises(ConfigurationError, match=r"unknown phases 'moon'; known: joint, mixed, heads, last_exit"):
        create_phases("moon", 3)
    with pytest.raises(ConfigurationError, match="unknown phases 'moon'"):
        train_network(_network(), toy(), TrainConfig(preset="nano", epochs=2, phases="moon"))


def test_freezing_is_undone_by_the_next_phase() -> None:
    network = _network()
    freeze(network, Phase("heads", 1.0, heads_only=True))
    assert {name for name, p in network.named_parameters() if p.requires_grad} == {
        name for name, _ in network.named_parameters() if name.startswith("heads")
    }
    assert network.heads.training
    assert not any(module.training for module in network.stages.modules())
    freeze(network, Phase("joint", 1.0))
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert network.stem_norm.training


@pytest.mark.parametrize("adaptivity", ["none", "gate"])
def test_heads_leave_the_backbone_and_its_statistics_alone(adaptivity: str) -> None:
    """State after the last epoch of each phase, from one training through both."""
    network, states = _network(adaptivity=adaptivity), list[dict[str, Tensor]]()
    config = TrainConfig(
        preset="nano", epochs=4, batch_size=8, adaptivity=adaptivity, phases="heads", augmentation="light"
    )
    assert [(s.first, s.end) for s in stretches(PHASES["heads"], 4)] == [(0, 3), (3, 4)]
    first = _state(network)
    train_network(network, toy(), config, report=lambda epoch, values: states.append(_state(network)))
    _, _, backbone_done, end = states
    moved = _changed(backbone_done, end)
    assert moved
    assert all(name.startswith("heads") for name in moved)
    assert {name for name in end if name.startswith("heads")} == moved
    # and before that, the last exit trained the backbone, statistics included
    before = _changed(first, backbone_done)
    assert "stem.weight" in before
    assert "stem_norm.running_mean" in before
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_the_first_half_of_mixed_training_trains_the_last_exit_only() -> None:
    network, states = _network(), list[dict[str, Tensor]]()
    seen: list[bool] = []
    network.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[1].dense) if module.training else None)
    first = _state(network)
    config = TrainConfig(preset="nano", epochs=4, batch_size=12, phases="mixed", augmentation="none")
    train_network(network, toy(), config, report=lambda epoch, values: states.append(_state(network)))
    shallow = {name for name in first if name.startswith(("heads.0", "heads.1"))}
    assert not shallow & _changed(first, states[1])
    assert {"heads.2.classify.weight", "stem.weight"} <= _changed(first, states[1])
    assert shallow <= _changed(first, states[3])
    # four steps an epoch: dense in the first phase, and in the first 40 % of the second
    assert seen == [True] * (8 + 4) + [False] * 4


def test_stage_after_stage_moves_one_stage_and_its_head_at_a_time() -> None:
    network, states = _network(adaptivity="none"), list[dict[str, Tensor]]()
    states.append(_state(network))
    config = TrainConfig(
        preset="nano", epochs=3, batch_size=12, phases="stagewise", losses=("cascade",), augmentation="none"
    )
    train_network(network, toy(), config, report=lambda epoch, values: states.append(_state(network)))
    for stage, (before, after) in enumerate(pairwise(states)):
        moved = _changed(before, after)
        own = {name for name in after if name.startswith((f"stages.{stage}.", f"heads.{stage}."))}
        first = {name for name in after if name.startswith("stem")} if stage == 0 else set()
        # everything of it, statistics of batch norms included, and nothing else
        assert moved == {name for name in own | first if after[name].numel()}
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert network.training is False


def test_networks_without_stages_are_not_trained_stage_by_stage() -> None:
    with pytest.raises(ConfigurationError, match="preset 'msdnet1d' has no stages to be trained one by one"):
        check_recipe(TrainConfig(preset="msdnet1d", phases="stagewise"), n_points=200, n_classes=3)


def test_the_last_exit_alone_leaves_all_other_heads_as_they_were() -> None:
    network = _network(adaptivity="none")
    first = _state(network)
    config = TrainConfig(
        preset="nano", epochs=2, batch_size=12, adaptivity="none", phases="last_exit", augmentation="none"
    )
    train_network(network, toy(), config)
    changed = _changed(first, _state(network))
    assert "heads.2.classify.weight" in changed
    assert not any(name.startswith(("heads.0", "heads.1", "exit0")) for name in changed)
