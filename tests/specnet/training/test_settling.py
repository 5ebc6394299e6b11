"""Gates that always say the same are built into the network, which answers as before."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset, TensorDataset

from specnet.export import export_segments
from specnet.nn import ADAPTIVITIES, DENSE, HARD, SpecNet, create_model
from specnet.nn.registry import load_weights, save_weights
from specnet.training.settling import active_shares, settle

POINTS, CLASSES = 160, 5
ALWAYS, NEVER = 50.0, -50.0


def spectra(n: int = 12) -> Tensor:
    return torch.randn(n, POINTS, generator=torch.Generator().manual_seed(5))


@pytest.fixture
def data() -> Dataset[tuple[Tensor, Tensor]]:
    return TensorDataset(spectra(), torch.zeros(12, dtype=torch.int64))


def network(adaptivity: str = "gate", *biases: tuple[float, ...]) -> SpecNet:
    """Stages of 1, 2, 2 and 2 units with chosen biases of their scores; batch norms have seen data."""
    torch.manual_seed(3)
    made = create_model("tiny", n_points=POINTS, n_classes=CLASSES, adaptivity=adaptivity)
    assert isinstance(made, SpecNet)
    made.train()
    with torch.no_grad():
        for _ in range(3):
            made(spectra(32)[:, None], DENSE)
        for k, bias in enumerate(biases, start=1):
            halting = made.stage(k).halting
            assert halting is not None
            assert halting.score.bias is not None
            halting.score.bias.copy_(torch.tensor(bias))
    return made.eval()


STEERED = ((ALWAYS,), (ALWAYS, 0.0), (0.0, NEVER), (NEVER, NEVER))


def steered() -> SpecNet:
    """Stages 2 and 3 each have one unit that the features decide about: its scores have a median of 0."""
    made = network("gate", *STEERED)
    for k, unit in ((2, 1), (3, 0)):
        entries = []
        hook = made.stage(k).merge_norm.register_forward_hook(lambda _, __, entry: entries.append(entry.relu()))  # noqa: B023
        logits(made)
        hook.remove()
        halting = made.stage(k).halting
        assert halting is not None
        assert halting.score.bias is not None
        with torch.no_grad():
            halting.score.weight[unit] = torch.randn(
                halting.score.weight[unit].shape, generator=torch.Generator().manual_seed(k)
            )
            halting.score.bias[unit] = -halting.score(entries[0])[:, unit].median()
    return made


def logits(made: SpecNet) -> Tensor:
    with torch.no_grad():
        return torch.stack(made(spectra()[:, None], HARD).logits)


def test_a_settled_network_answers_as_before_at_less_cost(data: Dataset[tuple[Tensor, Tensor]]) -> None:
    before = steered()
    found = [[0 < share < 1 for share in shares] for shares in active_shares(before, data)]
    assert found == [[False], [False, True], [True, False], [False, False]]  # the test is about all three kinds
    after = settle(before, data)
    assert isinstance(after, SpecNet)
    assert after.config.open_units == (1, 1, 0, 0)
    assert after.config.units == (0, 1, 1, 0)
    assert after.config.dropped_units == (0, 0, 1, 2)
    torch.testing.assert_close(logits(after), logits(before), atol=1e-5, rtol=1e-5)
    with_scores = [k for k in range(1, 5) if after.stage(k).halting is not None]
    assert with_scores == [2, 3]  # stages without a choice have none


def test_the_cost_at_full_depth_stays_but_for_the_scores(data: Dataset[tuple[Tensor, Tensor]]) -> None:
    before = steered()
    after = settle(before, data)
    assert isinstance(after, SpecNet)
    spent, left = (
        sum(
            halting.macs(positions)
            for k, positions in enumerate(made.config.positions, start=1)
            if (halting := made.stage(k).halting) is not None
        )
        for made in (before, after)
    )
    assert 0 < left < spent
    assert after.static_macs() == before.static_macs() - spent + left


def test_settled_segments_do_the_same_in_onnx_runtime(data: Dataset[tuple[Tensor, Tensor]]) -> None:
    after = settle(steered(), data)
    assert isinstance(after, SpecNet)
    wanted = logits(after).numpy()
    features = {"features": spectra().numpy()[:, :, None]}
    segments = export_segments(after)
    assert [segment.info.units for segment in segments] == [0, 0, 1, 1, 0]
    for index, segment in enumerate(segments):
        session = ort.InferenceSession(segment.data, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        values = dict(zip(names, session.run(None, features), strict=True))
        np.testing.assert_allclose(values["logits"], wanted[index], atol=1e-4)
        if index:
            features = {"features": values["next"]} if "next" in values else {}


def test_a_settled_network_is_saved_and_read_again(data: Dataset[tuple[Tensor, Tensor]]) -> None:
    after = settle(steered(), data)
    assert isinstance(after, SpecNet)
    again = load_weights(after.config.to_dict(), save_weights(after))
    assert isinstance(again, SpecNet)
    assert torch.equal(logits(again), logits(after))


def test_settling_twice_changes_nothing(data: Dataset[tuple[Tensor, Tensor]]) -> None:
    after = settle(steered(), data)
    assert settle(after, data) is after


@pytest.mark.parametrize("adaptivity", sorted(ADAPTIVITIES))
def test_every_adaptivity_is_settled_without_another_answer(
    adaptivity: str, data: Dataset[tuple[Tensor, Tensor]]
) -> None:
    before = network(adaptivity)
    if adaptivity == "ponder":  # mass that has gone before a unit is how it closes
        before = network(adaptivity, (-3.0,), (-3.0, ALWAYS), (ALWAYS, ALWAYS), (-3.0, -3.0))
    after = settle(before, data)
    assert isinstance(after, SpecNet)
    torch.testing.assert_close(logits(after), logits(before), atol=1e-5, rtol=1e-5)
    assert sum(after.config.units) + sum(after.config.dropped_units) + sum(after.config.open_units) == 7


def test_mass_scales_its_branch_so_its_gates_stay(data: Dataset[tuple[Tensor, Tensor]]) -> None:
    after = settle(network("ponder", (-3.0,), (-3.0, -3.0), (-3.0, -3.0), (ALWAYS, ALWAYS)), data)
    assert isinstance(after, SpecNet)
    assert after.config.open_units == (0, 0, 0, 0)
    assert after.config.dropped_units == (0, 0, 0, 2)
