"""Exit heads keep the axis: where a peak is decides what it is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support_networks import random_model, random_spectra, randomise

from specnet.errors import ModelError
from specnet.nn import HEADS, SpecNet, create_head, create_model, preset
from specnet.nn.heads import BinnedHead, FullHead, PooledHead

pytestmark = pytest.mark.usefixtures("one_thread")


def _head(positions: int, channels: int = 4) -> BinnedHead:
    torch.manual_seed(0)
    head = BinnedHead(preset("nano", 1000, 5), channels, positions).eval()
    with torch.no_grad():
        assert head.reduce.bias is not None
        head.reduce.bias.fill_(0.5)
    return head


@pytest.mark.parametrize("positions", [2, 15, 16, 17, 33, 100, 250])
def test_bins_cover_every_position(positions: int) -> None:
    head = _head(positions)
    assert head.bins <= 16
    empty = torch.zeros(1, 4, 1, positions)
    background = head(empty)
    for position in range(positions):
        peak = empty.clone()
        peak[0, :, 0, position] = torch.tensor([3.0, -1.0, 5.0, 2.0])
        assert not torch.equal(head(peak), background), position
    last = (positions - 1) // head.window
    assert head.bins == last + 1


def test_a_peak_in_another_bin_is_another_spectrum_while_average_pooling_cannot_tell() -> None:
    head = _head(64)
    here, there = torch.zeros(1, 4, 1, 64), torch.zeros(1, 4, 1, 64)
    here[0, :, 0, 10] = there[0, :, 0, 50] = torch.tensor([3.0, -1.0, 5.0, 2.0])
    assert (head(here) - head(there)).abs().max() > 1e-3
    assert torch.equal(here.amax(dim=-1), there.amax(dim=-1))
    assert torch.equal(here.mean(dim=-1), there.mean(dim=-1))


def test_a_peak_moved_within_its_bin_is_the_same_spectrum() -> None:
    head = _head(64)
    here, there = torch.zeros(1, 4, 1, 64), torch.zeros(1, 4, 1, 64)
    here[0, :, 0, 8] = there[0, :, 0, 11] = 2.0
    assert head.window == 4
    assert torch.equal(head(here), head(there))


def test_logits_follow_the_formula() -> None:
    head = _head(10)
    x = torch.randn(3, 4, 1, 10, generator=torch.Generator().manual_seed(1))
    assert head.reduce.bias is not None
    pooled = x.numpy()[:, :, 0]  # fewer positions than bins: every one is a bin of its own
    weight, bias = head.reduce.weight.detach().numpy()[:, :, 0, 0], head.reduce.bias.detach().numpy()
    reduced = np.maximum(np.einsum("oc,bcp->bop", weight, pooled) + bias[:, None], 0).reshape(3, -1)
    expected = reduced @ head.classify.weight.detach().numpy().T + head.classify.bias.detach().numpy()
    np.testing.assert_allclose(head(x).detach().numpy(), expected, atol=1e-5)


def test_a_full_head_sees_a_peak_move_by_one_position() -> None:
    torch.manual_seed(0)
    config = preset("nano", 1000, 5, head="full", head_bins=4)
    head = create_head(config, 4, 64).eval()
    assert isinstance(head, FullHead)
    here, there = torch.zeros(1, 4, 1, 64), torch.zeros(1, 4, 1, 64)
    here[0, :, 0, 8] = there[0, :, 0, 9] = 2.0
    assert head.bins == 64
    assert not torch.equal(head(here), head(there))
    reduced = head.reduce.out_channels
    assert head.macs == 64 * 4 * reduced + 64 * reduced * 5


def test_a_pooled_head_is_linear_on_maximum_and_mean_and_blind_for_positions() -> None:
    torch.manual_seed(0)
    head = create_head(preset("nano", 1000, 5, head="pooled"), 4, 64).eval()
    assert isinstance(head, PooledHead)
    x = torch.randn(3, 4, 1, 64, generator=torch.Generator().manual_seed(1))
    pooled = np.concatenate([x.numpy().max(axis=(2, 3)), x.numpy().mean(axis=(2, 3))], axis=1)
    expected = pooled @ head.classify.weight.detach().numpy().T + head.classify.bias.detach().numpy()
    np.testing.assert_allclose(head(x).detach().numpy(), expected, atol=1e-5)
    torch.testing.assert_close(head(x.flip(3)), head(x))
    assert head.macs == 2 * 4 * 5 + 64 * 4


@pytest.mark.parametrize("head", sorted(HEADS))
def test_every_head_gives_logits_and_a_cost_at_every_stage(head: str) -> None:
    network = create_model("tiny", n_points=150, n_classes=7, head=head).eval()
    assert all(logits.shape == (3, 7) for logits in network(random_spectra(3, 150)).logits)
    assert all(network.head(k).macs > 0 for k in range(1, network.n_exits))


def test_an_unknown_head_is_refused() -> None:
    with pytest.raises(ModelError, match="unknown exit head 'tail'; known: binned, full, pooled"):
        create_model("nano", n_points=128, n_classes=3, head="tail")


@pytest.mark.parametrize("length", [128, 333, 1003])
def test_exit_0_is_a_linear_classifier_on_means_of_points(length: int) -> None:
    network = random_model("nano", length)
    spectra = random_spectra(6, length)
    exit0 = network.exit0
    bins = length // exit0.bin
    means = spectra.numpy()[:, 0, : bins * exit0.bin].reshape(6, bins, exit0.bin).mean(axis=2)
    expected = means @ exit0.weight.numpy().T + exit0.bias.numpy()
    np.testing.assert_allclose(exit0(spectra).numpy(), expected, atol=1e-5)
    assert exit0.macs == bins * exit0.bin + 5 * bins


def test_exit_0_is_saved_with_the_network_but_never_trained() -> None:
    network: SpecNet = randomise(create_model("nano", n_points=128, n_classes=3))
    assert {"exit0.weight", "exit0.bias"} <= set(network.state_dict())
    assert not [name for name, _ in network.named_parameters() if name.startswith("exit0")]
