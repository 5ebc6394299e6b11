"""Every adaptivity keeps the rules of halting, and each its own promise."""

from __future__ import annotations

import pytest
import torch
from support_networks import random_model, random_spectra, vary_depths
from torch import Tensor
from torch.nn import functional

from specnet.errors import ModelError
from specnet.nn import ADAPTIVITIES, DENSE, HARD, PRESETS, Gating, SpecNet, create_model, open_gates, transitions
from specnet.nn.halting import LEAST_MASS, NONE, SMOOTH, create_halting
from specnet.nn.stage import PositionAdaptiveStage

pytestmark = pytest.mark.usefixtures("one_thread")


def _network(adaptivity: str, seed: int = 0) -> SpecNet:
    return vary_depths(random_model("small", 333, adaptivity=adaptivity, seed=seed))


@pytest.mark.parametrize("adaptivity", sorted(ADAPTIVITIES))
def test_gates_never_grow_and_depth_counts_those_above_zero(adaptivity: str) -> None:
    outputs = _network(adaptivity)(random_spectra(8, 333))
    for gates, depth in zip(outputs.gates, outputs.depths, strict=True):
        assert (gates >= 0).all()
        assert (gates <= 1).all()
        assert (gates[:, 1:] <= gates[:, :-1]).all()
        assert torch.equal((gates > 0).sum(dim=1), depth)
        assert len(depth.unique()) > 1


@pytest.mark.parametrize("adaptivity", sorted(ADAPTIVITIES))
def test_halted_positions_are_exactly_untouched_whatever_the_unit_says(adaptivity: str) -> None:
    network = _network(adaptivity)
    stage, spectra = network.stage(3), random_spectra(6, 333)
    with torch.no_grad():
        features = network.run_stem(spectra)
        for index in (1, 2):
            features = network.stage(index)(features, HARD).features
        before = stage(features, HARD)
        last = len(stage.units) - 1
        stage.units[last].register_forward_hook(lambda _module, _inputs, branch: branch + 1e3)
        after = stage(features, HARD)
    assert torch.equal(before.depth, after.depth)
    changed = (before.features != after.features).any(dim=1).squeeze(1)
    assert torch.equal(changed, before.depth == last + 1)


@pytest.mark.parametrize("adaptivity", sorted(ADAPTIVITIES))
def test_a_new_network_runs_every_unit_everywhere(adaptivity: str) -> None:
    network = create_model("base", n_points=300, n_classes=3, adaptivity=adaptivity).eval()
    for depth, units in zip(network(random_spectra(4, 300), HARD).depths, network.config.units, strict=True):
        assert (depth == units).all()


@pytest.mark.parametrize("adaptivity", sorted(ADAPTIVITIES))
def test_dense_runs_every_unit_with_its_full_weight(adaptivity: str) -> None:
    network = _network(adaptivity)
    static = create_model("small", n_points=333, n_classes=5, adaptivity=NONE)
    static.load_state_dict({k: v for k, v in network.state_dict().items() if "halting" not in k})
    with torch.no_grad():
        dense, plain = network(random_spectra(3, 333), DENSE), static.eval()(random_spectra(3, 333))
    for a, b in zip(dense.logits, plain.logits, strict=True):
        assert torch.equal(a, b)


def test_a_sample_runs_a_unit_at_all_positions_or_at_none() -> None:
    outputs = _network("sample")(random_spectra(32, 333))
    for gates, depth in zip(outputs.gates, outputs.depths, strict=True):
        assert set(gates.unique().tolist()) == {0.0, 1.0}
        assert torch.equal(depth, depth[:, :1].expand_as(depth))
        assert len(depth[:, 0].unique()) > 1


def test_the_score_of_a_sample_is_the_mean_of_the_scores_of_its_positions() -> None:
    halting = create_halting("sample", 4, 2)
    assert halting is not None
    with torch.no_grad():
        halting.score.weight.normal_(generator=torch.Generator().manual_seed(0))
        halting.score.bias.zero_()  # type: ignore[union-attr]
    x = torch.randn(16, 4, 1, 9, generator=torch.Generator().manual_seed(1))
    gates = halting(x, 0.0)
    scores = halting.score(x).squeeze(2).mean(dim=2)
    expected = torch.cumprod((scores > 0).float(), dim=1)
    assert torch.equal(gates, expected[:, :, None].expand(-1, -1, 9))


def test_the_mass_is_what_has_not_halted_yet() -> None:
    halting = create_halting("ponder", 4, 5)
    assert halting is not None
    with torch.no_grad():
        halting.score.weight.normal_(generator=torch.Generator().manual_seed(0))
        halting.score.bias.fill_(-1.0)  # type: ignore[union-attr]
    x = torch.randn(3, 4, 1, 20, generator=torch.Generator().manual_seed(1))
    halted = torch.sigmoid(halting.score(x).squeeze(2))
    mass = halting(x, 0.0)
    for position in range(20):
        window = halted[..., max(0, position - SMOOTH // 2) : position + SMOOTH // 2 + 1].mean(dim=-1)
        left = torch.ones(3)
        for unit in range(5):
            left = left - window[:, unit]
            expected = torch.where(left > LEAST_MASS, left, torch.zeros(3))
            torch.testing.assert_close(mass[:, unit, position], expected)
    assert (mass == 0).any()
    assert ((mass > 0) & (mass < 1)).any()


def test_a_branch_counts_with_its_mass() -> None:
    stage = PositionAdaptiveStage(3, 4, 1, block="depthwise", expansion=2, kernel=3, adaptivity="ponder").eval()
    x = torch.randn(2, 3, 1, 12, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        weighted, dense = stage(x, HARD), stage(x, DENSE)
        entry = torch.relu(stage.merge_norm(stage.merge(x)))
    mass = 1 - torch.sigmoid(torch.tensor(-3.0))  # weights start at zero: every score is the bias
    torch.testing.assert_close(weighted.gates, mass.expand(2, 1, 6))
    torch.testing.assert_close(weighted.features, entry + mass * (dense.features - entry))


@pytest.mark.parametrize("adaptivity", sorted(ADAPTIVITIES))
def test_a_step_against_the_gates_closes_them(adaptivity: str) -> None:
    network = create_model("nano", n_points=200, n_classes=3, adaptivity=adaptivity).train()
    scores = [p for name, p in network.named_parameters() if "halting" in name]
    optimizer = torch.optim.SGD(scores, lr=1.0)
    spectra = random_spectra(8, 200)
    before = torch.stack([gates.mean() for gates in network(spectra, HARD).gates]).detach()
    for _ in range(200):
        optimizer.zero_grad()
        sum((gates.mean() for gates in network(spectra, HARD).gates), start=torch.zeros(())).backward()
        optimizer.step()
    after = torch.stack([gates.mean() for gates in network(spectra, HARD).gates]).detach()
    assert (before > 0.8).all()
    assert (after < 0.5 * before).all()


def test_open_gates_are_what_runs_with_the_gradient_of_the_gates() -> None:
    gates = torch.tensor([[[1.0, 0.4, 0.0]]], requires_grad=True)
    opened = open_gates(gates)
    assert opened.tolist() == [[[1.0, 1.0, 0.0]]]
    (opened * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert gates.grad is not None
    assert gates.grad.tolist() == [[[1.0, 2.0, 3.0]]]


def test_transitions_count_the_ends_of_runs() -> None:
    runs = torch.tensor([[[1.0, 1, 0, 0, 1, 0], [0, 0, 0, 0, 0, 0]], [[1, 1, 1, 1, 1, 1], [0, 1, 0, 1, 0, 1]]])
    assert float(transitions(runs)) == (3 + 0 + 0 + 5) / 4
    assert float(transitions(torch.tensor([[[1.0, 0.25, 0.5]]]))) == 1.0
    assert float(transitions(torch.ones(2, 0, 7))) == 0.0


def test_the_gradient_of_transitions_fills_a_gap_and_removes_a_lone_position() -> None:
    gates = torch.tensor([[[1.0, 0, 1, 1, 0, 0, 1, 0, 0]]], requires_grad=True)
    transitions(gates).backward()
    assert gates.grad is not None
    assert gates.grad[0, 0, 1] < 0  # a step against the gradient opens the gap
    assert gates.grad[0, 0, 6] > 0  # and closes the lone one
    assert gates.grad[0, 0, 8] == 0


def test_equal_gates_of_a_network_make_no_transitions_and_no_gradient() -> None:
    network = create_model("tiny", n_points=200, n_classes=3, adaptivity="gate").train()
    outputs = network(random_spectra(4, 200), HARD)
    total = torch.stack([transitions(gates) for gates in outputs.gates]).sum()
    assert float(total.detach()) == 0.0
    total.backward()
    scores = [p.grad for name, p in network.named_parameters() if "halting" in name]
    assert scores
    assert all(grad is not None and not grad.any() for grad in scores)


@pytest.mark.parametrize("adaptivity", sorted(ADAPTIVITIES))
@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_trains_without_losing_its_mind(name: str, adaptivity: str) -> None:
    torch.manual_seed(0)
    network = create_model(name, n_points=120, n_classes=3, adaptivity=adaptivity, tap="channel_split").train()
    labels = torch.arange(12) % 3
    spectra = random_spectra(12, 120) + 2.0 * functional.one_hot(40 * labels, 120)[:, None]
    optimizer, losses = torch.optim.AdamW(network.parameters(), lr=3e-3), []
    for step in range(12):
        outputs = network(spectra, DENSE if step < 4 else Gating(noise=0.7 if step < 8 else 0.0))
        loss = sum((functional.cross_entropy(z, labels) for z in outputs.logits[1:]), start=torch.zeros(()))
        share = torch.stack([open_gates(gates).mean() for gates in outputs.gates]).mean()
        scattered = torch.stack([transitions(gates) for gates in outputs.gates]).mean()
        optimizer.zero_grad()
        (loss + share + 0.1 * scattered).backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    gradients: list[Tensor] = [p.grad for p in network.parameters() if p.grad is not None]
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
    assert losses[-1] < losses[0]


def test_unknown_adaptivities_are_refused() -> None:
    with pytest.raises(ModelError, match="unknown adaptivity 'random'; known: none, gate, sample, ponder"):
        create_model("nano", n_points=128, n_classes=3, adaptivity="random")
