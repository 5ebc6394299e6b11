"""Learned weights: where spectra are taken to leave, the gradient through the pseudo-step, and going on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support_networks import random_spectra
from torch import Tensor

from specnet.errors import ConfigurationError
from specnet.nn import HARD, SpecNet, create_model
from specnet.training import TrainConfig, train_network
from specnet.training.weighting import REACH, SampleWeighting, WeightPrediction, allocate, check_single_process

pytestmark = pytest.mark.usefixtures("one_thread")
POINTS = 64
CONFIG = TrainConfig(
    preset="nano", adaptivity="none", additive=False, losses=("learned_weights",), epochs=4, augmentation="none"
)
LABELS = torch.arange(16) % 3


def network(seed: int = 0) -> SpecNet:
    torch.manual_seed(seed)
    found = create_model("nano", n_points=POINTS, n_classes=3, adaptivity="none", dropout=0.0)
    assert isinstance(found, SpecNet)
    return found.train()


def weighting() -> SampleWeighting:
    return SampleWeighting(3, CONFIG)


def sure(*confidences: float) -> Tensor:
    """Logits of two classes with these probabilities of the first."""
    p = torch.tensor(confidences)
    return torch.stack([p.log(), (1 - p).log()], dim=1)


def test_the_surest_leave_first_and_each_only_once() -> None:
    # shares .75, .5625 and .421875 over their sum: of six spectra 2, 1 and the rest
    first = sure(0.6, 0.9, 0.7, 0.99, 0.8, 0.95)
    second = sure(0.9, 0.99, 0.7, 0.99, 0.6, 0.99)
    third = sure(*[0.99] * 6)
    # 3 and 5 are the surest at the first exit; of those left, 1 at the second
    assert allocate([first, second, third]).tolist() == [2, 1, 2, 0, 2, 0]


def test_a_single_exit_takes_all() -> None:
    assert allocate([sure(0.5, 0.6)]).tolist() == [0, 0]


def test_weights_are_around_one() -> None:
    weights = WeightPrediction(3)(10 * torch.rand(50, 3))
    torch.testing.assert_close(weights.mean(dim=1), torch.ones(50))
    assert (weights - 1).abs().max() <= 2 * REACH
    assert weights.std() > 0


def test_the_gradient_goes_through_the_pseudo_step() -> None:
    """Against differences: how the asked half's loss changes with one number of the weight network."""
    model, learner = network().double(), weighting()
    learner.network.double()
    spectra = random_spectra(16, POINTS).double()
    halves = (spectra[:8], LABELS[:8]), (spectra[8:], LABELS[8:])
    parameter = learner.network.layers[2].bias
    assert isinstance(parameter, torch.nn.Parameter)
    (gradient,) = torch.autograd.grad(learner.meta_loss(model, *halves, HARD), [parameter])
    step = 1e-4
    for index in range(3):
        ends = []
        for sign in (1, -1):
            with torch.no_grad():
                parameter[index] += sign * step
            ends.append(float(learner.meta_loss(model, *halves, HARD).detach()))
            with torch.no_grad():
                parameter[index] -= sign * step
        assert float(gradient[index]) == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-3, abs=1e-9)
    assert gradient.abs().max() > 1e-6


def test_a_meta_step_moves_the_weights_and_leaves_the_network_alone() -> None:
    model, learner = network(), weighting()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    kept = {name: tensor.clone() for name, tensor in learner.network.state_dict().items()}
    learner.learn(model, random_spectra(16, POINTS), LABELS, HARD, 1.0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not all(torch.equal(tensor, kept[name]) for name, tensor in learner.network.state_dict().items())


def test_a_training_that_was_interrupted_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(2)
    data: Any = torch.utils.data.TensorDataset(torch.randn(32, POINTS, generator=generator), torch.arange(32) % 3)
    whole, parts = network(), network()
    train_network(whole, data, CONFIG)
    path = tmp_path / "checkpoint.safetensors"

    class Stop(Exception):
        pass

    def stop(epoch: int, values: dict[str, float]) -> None:
        if epoch == 2:
            raise Stop

    with pytest.raises(Stop):
        train_network(parts, data, CONFIG, checkpoint=path, report=stop)
    resumed = network(seed=7)
    train_network(resumed, data, CONFIG, checkpoint=path)
    for name, tensor in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], tensor, rtol=0, atol=0)


def test_several_processes_are_refused() -> None:
    check_single_process(wanted=False, world=2)
    check_single_process(wanted=True, world=1)
    with pytest.raises(ConfigurationError, match="trained by one process, got 2"):
        check_single_process(wanted=True, world=2)
