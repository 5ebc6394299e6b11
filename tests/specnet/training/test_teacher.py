"""The dense network as a teacher: not before depth is learnt, frozen from then on, and kept by checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from specnet.errors import ModelError
from specnet.nn import SpecNet, create_model
from specnet.training import PHASES, TrainConfig, train_network
from specnet.training import loop as module
from specnet.training.checkpoint import check_checkpoint
from specnet.training.phases import stretches
from specnet.training.teacher import Teacher

pytestmark = pytest.mark.usefixtures("one_thread")
POINTS = 64
EPOCHS = 5
CONFIG = TrainConfig(
    distillation=0.3,
    preset="nano",
    epochs=EPOCHS,
    batch_size=12,
    augmentation="light",
    losses=("cross_entropy", "dense_distillation", "compute_budget"),
    seed=4,
)


def _toy() -> Any:
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(48) % 2
    return TensorDataset(torch.randn(48, POINTS, generator=generator) + labels[:, None], labels)


def _network() -> SpecNet:
    torch.manual_seed(0)
    network = create_model("nano", n_points=POINTS, n_classes=2)
    assert isinstance(network, SpecNet)
    return network


@pytest.fixture
def teachers(monkeypatch: pytest.MonkeyPatch) -> list[Teacher]:
    """The teachers that trainings of a test make."""
    made: list[Teacher] = []

    class Watched(Teacher):
        def __init__(self, config: TrainConfig) -> None:
            super().__init__(config)
            made.append(self)

    monkeypatch.setattr(module, "Teacher", Watched)
    return made


def test_the_teacher_comes_with_the_gates_and_stays_as_it_was(teachers: list[Teacher]) -> None:
    network, taken = _network(), list[dict[str, Tensor] | None]()

    def report(epoch: int, values: dict[str, float]) -> None:
        copy = teachers[-1].network
        taken.append(None if copy is None else {name: t.clone() for name, t in copy.state_dict().items()})

    history = train_network(network, _toy(), CONFIG, report=report).history
    # 40 % of 5 epochs are dense: the third one begins with gates
    assert [state is not None for state in taken] == [False, False, True, True, True]
    assert [values["dense_distillation"] > 0 for values in history] == [False, False, True, True, True]
    third, *later = taken[2:]
    assert third is not None
    for state in later:
        assert state is not None
        assert all(torch.equal(tensor, state[name]) for name, tensor in third.items())
    assert not torch.equal(network.state_dict()["stem.weight"], third["stem.weight"])
    teacher = teachers[-1].network
    assert teacher is not None
    assert not teacher.training
    assert not any(parameter.requires_grad for parameter in teacher.parameters())


def test_the_teacher_answers_at_full_depth_without_gradients() -> None:
    network, spectra = _network(), torch.randn(3, 1, POINTS, generator=torch.Generator().manual_seed(2))
    teacher = Teacher(CONFIG)
    assert teacher(spectra) is None
    with torch.no_grad():
        for index in range(1, network.n_exits):
            score = network.stage(index).halting
            assert score is not None
            assert score.score.bias is not None
            score.score.bias.fill_(-1e6)  # every position halts at once
    teacher.take(network)
    said = teacher(spectra)
    assert said is not None
    assert not said.requires_grad
    network.eval()
    assert (network(spectra).depths[-1] == 0).all()
    assert not torch.allclose(said, network(spectra).logits[-1])


@pytest.mark.parametrize(
    "changes",
    [{"losses": ("cross_entropy",)}, {"adaptivity": "none"}, {"phases": "last_exit", "losses": ("cross_entropy",)}],
)
def test_there_is_no_teacher_where_it_would_have_nothing_to_teach(changes: dict[str, Any]) -> None:
    config = TrainConfig(**{**CONFIG.to_dict(), **changes})
    teacher = Teacher(config)
    for stretch in stretches(PHASES[config.phases], EPOCHS):
        for epoch in range(stretch.first, stretch.end):
            teacher.watch(_network(), stretch, epoch)
    assert teacher.network is None


class _Interrupted(Exception):
    pass


@pytest.mark.parametrize("stop", [1, 2, 3, 4])
def test_an_interruption_with_or_without_a_teacher_changes_nothing(stop: int, tmp_path: Path) -> None:
    def report(epoch: int, values: dict[str, float]) -> None:
        if epoch == stop:
            raise _Interrupted

    offsets = torch.randn(48, 2, generator=torch.Generator().manual_seed(3))
    whole = _network()
    expected = train_network(whole, _toy(), CONFIG, offsets=offsets)
    checkpoint = tmp_path / "checkpoint.safetensors"
    with pytest.raises(_Interrupted):
        train_network(_network(), _toy(), CONFIG, offsets=offsets, checkpoint=checkpoint, report=report)
    torch.manual_seed(99)
    resumed = create_model("nano", n_points=POINTS, n_classes=2)
    progress = train_network(resumed, _toy(), CONFIG, offsets=offsets, checkpoint=checkpoint)
    assert progress.history == expected.history
    for name, tensor in whole.state_dict().items():
        if not name.startswith("exit0"):
            assert torch.equal(resumed.state_dict()[name], tensor), name


def test_a_checkpoint_says_whose_it_is_without_a_network(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint.safetensors"
    train_network(_network(), _toy(), CONFIG, checkpoint=checkpoint, identity={"seed": 4, "losses": ["a", "b"]})
    check_checkpoint(checkpoint, {"seed": 4, "losses": ["a", "b"]})
    with pytest.raises(ModelError, match="belongs to another training: seed was 4, is now 5"):
        check_checkpoint(checkpoint, {"seed": 5, "losses": ["a", "b"]})
    with checkpoint.open("r+b") as file:
        file.truncate(5 << 30)
    with pytest.raises(ModelError, match="has 5368709120 bytes, at most 4294967296 are read"):
        check_checkpoint(checkpoint, {"seed": 4})
