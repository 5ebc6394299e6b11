"""Losses on small cases that were computed by hand, and which gradients they let through."""

from __future__ import annotations

import math

import pytest
import torch
from support_networks import halting, random_model, random_spectra
from torch import Tensor

from specnet.nn import ExitOutputs, SpecNet, create_model
from specnet.training import LOSSES, TrainConfig
from specnet.training.losses import BUDGET_WEIGHT, Context, active_share
from specnet.training.schedule import active_budget, gating, rate_factor

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def network() -> SpecNet:
    """Three stages with 1, 2 and 2 units."""
    return create_model("nano", n_points=64, n_classes=2)


def _context(network: SpecNet, progress: float = 1.0, **changes: float) -> Context:
    """Distillation has a share, which it has not by default."""
    return Context(network, TrainConfig(**{"distillation": 0.3, **changes}), progress)  # type: ignore[arg-type]


def _logits(*exits: list[list[float]]) -> list[Tensor]:
    return [torch.tensor(logits, requires_grad=True) for logits in exits]


def _outputs(*exits: list[list[float]]) -> ExitOutputs:
    return ExitOutputs(_logits(*exits), [], [])


def test_cross_entropy_leaves_a_share_of_the_shallow_exits_to_distillation(network: SpecNet) -> None:
    # two classes: the loss of logits (0, d) with label 1 is log(1 + exp(-d)); exit 0 does not count
    outputs = _outputs([[9.0, 0.0]], [[0.0, 1.0]], [[0.0, 2.0]], [[0.0, 3.0]])
    value = LOSSES["cross_entropy"](outputs, torch.tensor([1]), _context(network, distillation=0.25))
    one, two, three = (math.log1p(math.exp(-d)) for d in (1.0, 2.0, 3.0))
    assert float(value.detach()) == pytest.approx(three + 0.75 * (one + two), abs=1e-6)
    value.backward()
    assert outputs.logits[0].grad is None
    assert all(logits.grad is not None and logits.grad.abs().max() > 0 for logits in outputs.logits[1:])


def test_cross_entropy_is_a_mean_over_the_batch(network: SpecNet) -> None:
    outputs = _outputs([[0.0, 0.0]] * 2, [[0.0, 1.0], [0.0, 2.0]])
    value = LOSSES["cross_entropy"](outputs, torch.tensor([1, 0]), _context(network))
    assert float(value.detach()) == pytest.approx((math.log1p(math.exp(-1)) + math.log1p(math.exp(2))) / 2, abs=1e-6)


def _kl(target: float, own: float) -> float:
    """KL divergence of two Bernoulli distributions given by their logits."""
    p, q = 1 / (1 + math.exp(-target)), 1 / (1 + math.exp(-own))
    return p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_self_distillation_is_the_softened_divergence_times_the_squared_temperature(
    network: SpecNet, temperature: float
) -> None:
    outputs = _outputs([[9.0, 0.0]], [[0.0, 1.0]], [[0.0, -2.0]], [[0.0, 3.0]])
    context = _context(network, distillation=0.5, temperature=temperature)
    value = LOSSES["self_distillation"](outputs, torch.tensor([0]), context)
    expected = sum(_kl(3.0 / temperature, own / temperature) for own in (1.0, -2.0))
    assert float(value.detach()) == pytest.approx(0.5 * temperature**2 * expected, abs=1e-5)


def test_the_squared_temperature_keeps_gradients_of_about_one_size(network: SpecNet) -> None:
    sizes = []
    for temperature in (10.0, 100.0):
        outputs = _outputs([[0.0, 0.0]], [[0.0, 1.0]], [[0.0, 3.0]])
        LOSSES["self_distillation"](outputs, torch.tensor([0]), _context(network, temperature=temperature)).backward()
        assert outputs.logits[1].grad is not None
        sizes.append(float(outputs.logits[1].grad.abs().max()))
    # for T much larger than the logits the gradient tends to a limit (Hinton et al. 2015, section 2.1)
    assert sizes[1] == pytest.approx(sizes[0], rel=0.05)
    assert sizes[0] > 0


def test_self_distillation_never_moves_the_deepest_exit(network: SpecNet) -> None:
    outputs = _outputs([[9.0, 0.0]], [[0.0, 1.0]], [[0.0, -2.0]], [[0.0, 3.0]])
    LOSSES["self_distillation"](outputs, torch.tensor([0]), _context(network)).backward()
    exit0, first, second, deepest = outputs.logits
    assert exit0.grad is None
    assert deepest.grad is None
    for shallow in (first, second):
        assert shallow.grad is not None
        assert shallow.grad.abs().max() > 0


def test_self_distillation_of_the_network_reaches_no_weight_behind_the_last_shallow_exit() -> None:
    network = random_model("nano", 100).train()
    outputs = network(random_spectra(4, 100))
    LOSSES["self_distillation"](outputs, torch.tensor([0, 1, 2, 3]), _context(network)).backward()
    for module in (network.stage(3), network.head(3)):
        assert all(parameter.grad is None for parameter in module.parameters())
    for module in (network.stage(1), network.head(1), network.head(2)):
        assert any(parameter.grad is not None and parameter.grad.any() for parameter in module.parameters())


def test_agreeing_exits_have_nothing_to_distil(network: SpecNet) -> None:
    outputs = _outputs(*[[[0.5, 1.5]]] * 4)
    assert float(LOSSES["self_distillation"](outputs, torch.tensor([0]), _context(network)).detach()) < 1e-6


def _gates(network: SpecNet) -> list[Tensor]:
    return [
        torch.zeros(2, units, positions)
        for units, positions in zip(network.config.units, network.config.positions, strict=True)
    ]


def test_the_active_share_weighs_positions_with_what_their_units_cost(network: SpecNet) -> None:
    gates = _gates(network)
    # widths 8, 12, 16 and hidden 2 C: 7 C + 4 C^2 MACs a unit and position; 32, 16 and 8 positions
    assert network.unit_macs() == [312, 660, 1136]
    assert network.config.positions == (32, 16, 8)
    full = 312 * 1 * 32 + 660 * 2 * 16 + 1136 * 2 * 8
    gates[0][0, 0, :10] = 1  # 10 positions of one of two spectra
    gates[1][:, 0, :4] = 1
    gates[1][:, 1, :3] = 1  # 7 units of both
    gates[2][1] = 1  # 16 units of one
    spent = (312 * 10 + 660 * 7 * 2 + 1136 * 16) / 2
    share = active_share(ExitOutputs(_logits([[0.0, 0.0]] * 2), [], gates), network)
    assert float(share) == pytest.approx(spent / full, rel=1e-6)


def test_the_active_share_is_that_of_the_executed_macs() -> None:
    network = random_model("tiny", 201)
    for offset, expected in ((1e6, 1.0), (-1e6, 0.0)):
        outputs = halting(network, (offset,) * 4)(random_spectra(3, 201))
        assert float(active_share(outputs, network).detach()) == pytest.approx(expected, abs=1e-6)
    outputs = halting(network, (0.0,) * 4)(random_spectra(3, 201))
    units = zip(outputs.depths, network.unit_macs(), strict=True)
    spent = sum(macs * float(depth.float().mean(dim=0).sum()) for depth, macs in units)
    full = network.static_macs() - sum(network.fixed_macs())
    assert float(active_share(outputs, network).detach()) == pytest.approx(spent / full, rel=1e-5)


def test_a_network_that_cannot_halt_is_fully_active() -> None:
    network = random_model("tiny", 201, adaptive=False)
    assert float(active_share(network(random_spectra(2, 201)), network).detach()) == pytest.approx(1.0)


def test_the_compute_budget_is_a_hinge_on_what_runs(network: SpecNet) -> None:
    # open for one of two spectra, with a mass of 0.1: a unit runs in full however small its mass
    gates = [torch.tensor([0.1, 0.0])[:, None, None].expand_as(gate).clone() for gate in _gates(network)]
    for gate in gates:
        gate.requires_grad_()
    outputs = ExitOutputs(_logits([[0.0, 0.0]] * 2), [], gates)
    labels = torch.tensor([0, 1])
    over = LOSSES["compute_budget"](outputs, labels, _context(network, active_target=0.35))
    assert float(over.detach()) == pytest.approx(BUDGET_WEIGHT * 0.15, abs=1e-5)
    over.backward()
    assert all(gate.grad is not None and (gate.grad > 0).all() for gate in gates)
    for gate in gates:
        gate.grad = None
    below = LOSSES["compute_budget"](outputs, labels, _context(network, active_target=0.7))
    assert float(below.detach()) == 0.0
    below.backward()
    assert not any(gate.grad is not None and gate.grad.any() for gate in gates)


def test_the_budget_holds_from_the_end_of_its_annealing_only(network: SpecNet) -> None:
    outputs = ExitOutputs(_logits([[0.0, 0.0]] * 2), [], [torch.ones_like(gate) for gate in _gates(network)])
    values = [
        float(LOSSES["compute_budget"](outputs, torch.tensor([0, 1]), _context(network, p, active_target=0.5)))
        for p in (0.0, 0.4, 0.55, 0.7, 1.0)
    ]
    assert values == pytest.approx([BUDGET_WEIGHT * x for x in (0.0, 0.0, 0.25, 0.5, 0.5)], abs=1e-5)


def test_the_schedule() -> None:
    assert [active_budget(p, 0.4) for p in (0.0, 0.4, 0.55, 0.7, 1.0)] == pytest.approx([1.0, 1.0, 0.7, 0.4, 0.4])
    assert [rate_factor(p) for p in (0.0, 0.05, 0.1, 0.55, 1.0)] == pytest.approx([0.05, 0.525, 1.0, 0.5, 0.0])
    assert [gating(p, adaptive=True).dense for p in (0.0, 0.39, 0.4, 1.0)] == [True, True, False, False]
    noise = [gating(p, adaptive=True).noise for p in (0.4, 0.79, 0.8, 1.0)]
    assert noise[0] == noise[1] > 0
    assert noise[2:] == [0.0, 0.0]
    assert all(gating(p, adaptive=False).dense for p in (0.0, 0.5, 1.0))


def test_the_ponder_cost_is_the_share_of_mass_that_reaches_units(network: SpecNet) -> None:
    gates = _gates(network)
    full = 312 * 1 * 32 + 660 * 2 * 16 + 1136 * 2 * 8  # as above
    gates[0][0, 0, :10] = 0.5
    gates[1][:, 1, :3] = 0.25
    for gate in gates:
        gate.requires_grad_()
    outputs = ExitOutputs(_logits([[0.0, 0.0]] * 2), [], gates)
    cost = LOSSES["ponder_cost"](outputs, torch.tensor([0, 1]), _context(network, ponder_price=0.7))
    # mass 5 in one of two spectra, 0.75 in both
    assert float(cost.detach()) == pytest.approx(0.7 * (312 * 5 / 2 + 660 * 0.75) / full, rel=1e-5)
    cost.backward()
    # the same price for a unit and position wherever it is, however much mass it has: 0.7 m / full, over 2 spectra
    for gate, macs in zip(gates, network.unit_macs(), strict=True):
        assert gate.grad is not None
        torch.testing.assert_close(gate.grad, torch.full_like(gate, 0.7 * macs / full / 2))


def test_contiguity_counts_changes_along_the_axis(network: SpecNet) -> None:
    gates = _gates(network)  # 2 spectra; 1, 2 and 2 units; 32, 16 and 8 positions
    gates[0][0, 0, 5:9] = 1  # an inner run: 2 changes in one of 2 spectra: 1 on average, of 31
    gates[1][:, 0, ::2] = 1  # scattered: 15 changes in one of 2 units of both: 7.5 on average, of 15
    gates[2][:, :, 3:] = 1  # a run up to the end: 1 change everywhere, of 7
    outputs = ExitOutputs(_logits([[0.0, 0.0]] * 2), [], gates)
    value = LOSSES["contiguity"](outputs, torch.tensor([0, 1]), _context(network, contiguity=0.2))
    assert float(value.detach()) == pytest.approx(0.2 * (1 / 31 + 7.5 / 15 + 1 / 7), rel=1e-5)
    everywhere = ExitOutputs(_logits([[0.0, 0.0]] * 2), [], [torch.ones_like(gate) for gate in gates])
    assert float(LOSSES["contiguity"](everywhere, torch.tensor([0, 1]), _context(network)).detach()) == 0.0


def test_hints_pull_shallow_embeddings_of_the_deepest_one_s_size(network: SpecNet) -> None:
    embeddings = [torch.tensor(rows, requires_grad=True) for rows in ([[1.0, 2.0]], [[5.0, 5.0, 5.0]], [[0.0, 4.0]])]
    outputs = ExitOutputs(_logits(*[[[0.0, 0.0]]] * 4), [], [], embeddings)
    value = LOSSES["feature_hints"](outputs, torch.tensor([0]), _context(network, hint_weight=0.3))
    assert float(value.detach()) == pytest.approx(0.3 * (1.0 + 4.0) / 2)
    value.backward()
    first, other_size, deepest = embeddings
    torch.testing.assert_close(first.grad, 0.3 * torch.tensor([[1.0, -2.0]]))
    assert other_size.grad is None
    assert deepest.grad is None


def test_hints_have_nothing_to_pull_in_networks_without_embeddings(network: SpecNet) -> None:
    outputs = _outputs([[0.0, 0.0]], [[0.0, 1.0]])
    assert float(LOSSES["feature_hints"](outputs, torch.tensor([0]), _context(network))) == 0.0


def test_dense_distillation_supervises_every_exit_behind_exit_0(network: SpecNet) -> None:
    outputs = _outputs([[9.0, 0.0]], [[0.0, 1.0]], [[0.0, -2.0]], [[0.0, 0.5]])
    config = TrainConfig(distillation=0.4, temperature=2.0)
    taught = Context(network, config, 1.0, teacher=torch.tensor([[0.0, 3.0]]))
    value = LOSSES["dense_distillation"](outputs, torch.tensor([0]), taught)
    expected = sum(_kl(1.5, own / 2) for own in (1.0, -2.0, 0.5))
    assert float(value.detach()) == pytest.approx(0.4 * 4 * expected, abs=1e-5)
    value.backward()
    assert outputs.logits[0].grad is None
    assert all(logits.grad is not None and logits.grad.any() for logits in outputs.logits[1:])
    alone = LOSSES["dense_distillation"](outputs, torch.tensor([0]), Context(network, config, 1.0))
    assert float(alone) == 0.0


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_in_a_phase_of_the_last_exit_no_loss_moves_the_heads_before_it(name: str) -> None:
    network = random_model("nano", 100).train()
    outputs = network(random_spectra(4, 100))
    context = Context(network, TrainConfig(), 1.0, last_exit_only=True, teacher=random_spectra(4, 5)[:, 0])
    value = LOSSES[name](outputs, torch.tensor([0, 1, 2, 3]), context)
    assert torch.isfinite(value)
    if value.requires_grad:
        value.backward()
    assert all(weight.grad is None for index in (1, 2) for weight in network.head(index).parameters())


def test_without_a_linear_exit_all_exits_have_a_loss() -> None:
    network = create_model("msdnet1d", n_points=64, n_classes=2)
    assert network.exit0 is None
    outputs = _outputs([[0.0, 1.0]], [[0.0, 2.0]])
    value = LOSSES["cross_entropy"](outputs, torch.tensor([1]), Context(network, TrainConfig(distillation=0.5), 1.0))
    assert float(value.detach()) == pytest.approx(math.log1p(math.exp(-2)) + 0.5 * math.log1p(math.exp(-1)), abs=1e-6)
