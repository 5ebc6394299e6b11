"""Position-adaptive depth: once halted a position stays as it is, and every position decides for itself."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from support_networks import halting, random_model, random_spectra, vary_depths
from torch import Tensor, nn

from specnet.nn import DENSE, HARD, Gating, SpecNet
from specnet.nn.halting import SMOOTH
from specnet.nn.stage import PositionAdaptiveStage

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def network() -> SpecNet:
    return vary_depths(random_model("small", 333))


def test_depth_varies_over_positions_and_spectra(network: SpecNet) -> None:
    for depth, units in zip(network(random_spectra(8, 333)).depths, network.config.units, strict=True):
        assert set(depth.unique().tolist()) == set(range(units + 1))
        assert not torch.equal(depth[0], depth[1])


def test_a_halted_position_stays_halted(network: SpecNet) -> None:
    for gates, depth in zip(*_gates_and_depths(network), strict=True):
        assert set(gates.round().unique().tolist()) == {0.0, 1.0}
        torch.testing.assert_close(gates, gates.round(), atol=1e-6, rtol=0)
        gates = gates.round()
        assert (gates[:, 1:] <= gates[:, :-1]).all()
        assert torch.equal(gates.sum(dim=1).long(), depth)


def _gates_and_depths(network: SpecNet) -> tuple[list[Tensor], list[Tensor]]:
    outputs = network(random_spectra(8, 333))
    return outputs.gates, outputs.depths


def _rows(features: Tensor) -> Tensor:
    """Features ``(B, C, 1, P)`` as ``(B, P, C)``."""
    return features.squeeze(2).transpose(1, 2)


def test_later_units_leave_halted_positions_untouched(network: SpecNet) -> None:
    stage = network.stage(4)
    seen: list[Tensor] = []
    for unit in stage.units:
        unit.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0].clone()))
    outputs = []
    stage.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    with torch.no_grad():
        network(random_spectra(8, 333))
    states = [*seen, outputs[0].features]  # features before each unit, and after the last
    depth = outputs[0].depth
    assert len(states) == len(stage.units) + 1 >= 3
    for halted_at in range(len(stage.units)):
        rows = depth == halted_at
        assert rows.any()
        kept = _rows(states[halted_at])[rows]
        for later in states[halted_at + 1 :]:
            assert torch.equal(_rows(later)[rows], kept)
    # and positions that did not halt were changed by every unit
    running = depth == len(stage.units)
    for before, after in pairwise(states):
        changed = (_rows(before) != _rows(after))[running].any(dim=1)
        assert changed.all()


def test_gates_follow_the_smoothed_scores_of_the_entry(network: SpecNet) -> None:
    stage = network.stage(2)
    assert stage.halting is not None
    x = torch.randn(2, stage.merge.out_channels, 1, 21, generator=torch.Generator().manual_seed(1))
    gates = stage.halting(x, noise=0.0)
    scores = torch.einsum("uc,bcp->bup", stage.halting.score.weight[:, :, 0, 0], x[:, :, 0])
    assert stage.halting.score.bias is not None
    scores = scores + stage.halting.score.bias[:, None]
    for position in range(21):
        window = scores[..., max(0, position - SMOOTH // 2) : position + SMOOTH // 2 + 1].mean(dim=-1)
        expected = torch.cumprod((window > 0).float(), dim=1)
        assert torch.equal(gates[..., position].round(), expected)


def test_dense_is_the_same_as_all_gates_open(network: SpecNet) -> None:
    halting(network, (1e6,) * 4)
    spectra = random_spectra(4, 333)
    with torch.no_grad():
        dense, open_gates = network(spectra, DENSE), network(spectra, HARD)
    for a, b in zip(dense.logits, open_gates.logits, strict=True):
        torch.testing.assert_close(a, b)
    for a, b, units in zip(dense.depths, open_gates.depths, network.config.units, strict=True):
        assert torch.equal(a, b)
        assert (a == units).all()


def test_all_gates_closed_leave_the_entry_of_the_stage(network: SpecNet) -> None:
    halting(network, (-1e6,) * 4)
    stage = network.stage(1)
    entry = network.run_stem(random_spectra(2, 333))
    output = stage(entry, HARD)
    padded = nn.functional.pad(entry, (0, entry.shape[-1] % 2))
    assert torch.equal(output.features, torch.relu(stage.merge_norm(stage.merge(padded))))
    assert not output.depth.any()


def test_noise_moves_gates_in_training_only(network: SpecNet) -> None:
    spectra = random_spectra(4, 333)
    quiet = network(spectra, HARD)
    for before, after in zip(quiet.depths, network(spectra, Gating(noise=5.0)).depths, strict=True):
        assert torch.equal(before, after)
    network.train()
    torch.manual_seed(0)
    entry = network.run_stem(spectra)
    stage = network.stage(1)
    assert not torch.equal(stage(entry, HARD).depth, stage(entry, Gating(noise=5.0)).depth)


def test_the_gradient_passes_a_closed_gate_as_through_a_sigmoid() -> None:
    stage = PositionAdaptiveStage(3, 4, 1, block="depthwise", expansion=2, kernel=3, adaptivity="gate")
    assert stage.halting is not None
    x = torch.randn(2, 4, 1, 6, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        stage.halting.score.bias.fill_(-1.0)  # weights start at zero: every score is the bias
    gates = stage.halting(x, noise=0.0)
    assert not gates.any()
    gates.sum().backward()
    sigmoid = torch.sigmoid(torch.tensor(-1.0))
    assert stage.halting.score.bias.grad is not None
    torch.testing.assert_close(stage.halting.score.bias.grad, (12 * sigmoid * (1 - sigmoid))[None])


def test_a_stage_without_units_or_without_adaptivity_has_no_gates_to_learn() -> None:
    for units, adaptivity in ((0, "gate"), (2, "none")):
        stage = PositionAdaptiveStage(3, 4, units, block="depthwise", expansion=2, kernel=3, adaptivity=adaptivity)
        assert stage.halting is None
        output = stage.eval()(torch.randn(2, 3, 1, 9), HARD)
        assert (output.depth == units).all()
        assert output.features.shape == (2, 4, 1, 5)
