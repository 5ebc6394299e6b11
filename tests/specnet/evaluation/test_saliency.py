"""Saliency: what its definitions promise, on trained networks and on functions that are known by heart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from numpy.typing import NDArray
from support_cli import call

from specnet.datasets import Holdout
from specnet.errors import ConfigurationError, ModelError
from specnet.evaluation import plots
from specnet.evaluation.saliency import exit_score, gradient_times_input, integrated_gradients, occlusion
from specnet.nn import HARD, SpecNet
from specnet.spectra import SpectralAxis

if TYPE_CHECKING:
    from support_trained import Trained

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def network(trained: Trained) -> SpecNet:
    return trained.run.network


@pytest.fixture(scope="module")
def spectra(trained: Trained) -> NDArray[np.float32]:
    return trained.run.cache(trained.data, Holdout.TEST).spectra[::4]


def _by_depth(network: SpecNet, spectra: NDArray[np.float32]) -> list[NDArray[np.int64]]:
    with torch.no_grad():
        return [depth.numpy() for depth in network(torch.from_numpy(spectra)[:, None], HARD).depths]


@pytest.mark.parametrize("exit_index", [0, 1, -1])
def test_integrated_gradients_add_up_to_the_difference_of_log_probabilities(
    network: SpecNet, spectra: NDArray[np.float32], exit_index: int
) -> None:
    score = exit_score(network, exit_index)
    classes = score(spectra).argmax(axis=1)
    # a baseline with the same depth map, so that the network at both ends is one function: a faint copy would change
    # it, a slightly weaker spectrum seldom does
    near = spectra * np.float32(0.98)
    same = np.ones(len(spectra), bool)
    for a, b in zip(_by_depth(network, spectra), _by_depth(network, near), strict=True):
        same &= (a == b).all(axis=1)
    assert same.sum() >= 3
    for row in np.flatnonzero(same)[:3]:
        one = slice(row, row + 1)
        saliency = integrated_gradients(network, spectra[one], exit_index=exit_index, baseline=near[row], steps=24)
        gained = (score(spectra[one]) - score(near[one]))[0, classes[row]]
        np.testing.assert_allclose(saliency.sum(), gained, rtol=0.02, atol=2e-5)


def test_integrated_gradients_of_a_linear_exit_are_complete_from_a_flat_spectrum(
    network: SpecNet, spectra: NDArray[np.float32]
) -> None:
    score = exit_score(network, 0)
    before = score(spectra)
    rows, classes = np.arange(len(spectra)), before.argmax(axis=1)
    gained = (before - score(np.zeros_like(spectra)))[rows, classes]
    # a sure classifier changes its mind within a small part of the way, which takes many steps to see
    saliency = integrated_gradients(network, spectra, exit_index=0, steps=600)
    np.testing.assert_allclose(saliency.sum(axis=1), gained, rtol=0.01, atol=2e-3)


def test_the_gradient_is_that_of_the_network_with_its_depth_held(
    network: SpecNet, spectra: NDArray[np.float32]
) -> None:
    x = spectra[:6] + np.float32(0.01)  # no point is zero, where gradient times input would hide the gradient
    score = exit_score(network)
    classes = score(x).argmax(axis=1)
    gradient = gradient_times_input(network, x, targets=classes) / x
    lengths = np.linalg.norm(gradient, axis=1, keepdims=True)
    step = np.float32(2e-3) * gradient / lengths
    ahead, behind = (score(x + sign * step)[np.arange(6), classes] for sign in (1, -1))
    kept = np.ones(6, bool)
    for here, there in zip(_by_depth(network, x), _by_depth(network, x + step), strict=True):
        kept &= (here == there).all(axis=1)
    assert kept.any()
    measured, expected = (ahead - behind)[kept], 2 * 2e-3 * lengths[kept, 0]
    np.testing.assert_allclose(measured, expected, rtol=0.1, atol=2e-5)


def test_explaining_leaves_the_network_as_it_was(network: SpecNet, spectra: NDArray[np.float32]) -> None:
    before = exit_score(network)(spectra)
    weights = [tensor.clone() for tensor in network.state_dict().values()]
    for parameter in network.parameters():
        parameter.grad = None
    integrated_gradients(network, spectra[:3], steps=2)
    np.testing.assert_array_equal(exit_score(network)(spectra), before)
    assert all(torch.equal(a, b) for a, b in zip(weights, network.state_dict().values(), strict=True))
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not network.training


def test_each_class_has_its_own_saliency(network: SpecNet, spectra: NDArray[np.float32]) -> None:
    first, second = (
        gradient_times_input(network, spectra[:2], targets=np.full(2, label, dtype=np.int64)) for label in (0, 1)
    )
    assert not np.allclose(first, second)


def test_occlusion_finds_the_peak_that_a_score_looks_at() -> None:
    peak = slice(40, 50)

    def score(x: NDArray[np.float32]) -> NDArray[np.float32]:
        height = x[:, peak].sum(axis=1)
        return np.stack([height, -height], axis=1)

    x = np.full((2, 120), 0.5, dtype=np.float32)
    x[:, 44:47] += 1.0
    saliency = occlusion(score, x, window=8)
    assert saliency[:, 44:47].min() > 0
    assert np.abs(saliency[:, :34]).max() < 1e-5
    assert np.abs(saliency[:, 58:]).max() < 1e-5


@pytest.mark.parametrize("window", [1, 7, 60])
def test_occlusion_covers_every_point_and_leaves_its_input_alone(window: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 60)).astype(np.float32)
    before = x.copy()
    saliency = occlusion(lambda s: np.stack([(s**2).sum(axis=1), s[:, 0]], axis=1), x, window=window)
    assert saliency.shape == x.shape
    assert np.isfinite(saliency).all()
    np.testing.assert_array_equal(x, before)


def test_mistakes_are_told(network: SpecNet, spectra: NDArray[np.float32]) -> None:
    with pytest.raises(ModelError, match="has exits 0 to 3"):
        gradient_times_input(network, spectra, exit_index=9)
    with pytest.raises(ConfigurationError, match=r"baseline has shape \(3,\), expected \(300,\)"):
        integrated_gradients(network, spectra, baseline=np.zeros(3, np.float32))
    with pytest.raises(ConfigurationError, match="at least 1 step, got 0"):
        integrated_gradients(network, spectra, steps=0)
    with pytest.raises(ConfigurationError, match="1 to 300 points, got 301"):
        occlusion(exit_score(network), spectra, window=301)
    with pytest.raises(ModelError, match=r"spectra: expected .* = \(2, 5\), got \(1, 5\)"):
        plots.plot_saliency(np.ones((1, 5)), {}, ["a", "b"], SpectralAxis.channels(5), Path("never.png"))


def test_the_command_writes_numbers_and_a_figure(trained: Trained, tmp_path: Path) -> None:
    out = tmp_path / "explained"
    called = call("explain", trained.run.path, trained.data, "--out", out, "--spectra-per-class", 5, "--json")
    assert called.code == 0, called.err
    document = json.loads((out / "saliency.json").read_text())
    n_classes, points = len(document["classes"]), trained.run.axis.n_points
    for values in document["mean_absolute_saliency"].values():
        assert np.asarray(values).shape == (n_classes, points)
    low, high = trained.run.axis.values[[0, -1]]
    assert all(low <= place <= high for entry in document["classes"] for place in entry["strongest"])
    # two methods that share nothing but the network point to the same places
    assert np.mean([entry["agreement"] for entry in document["classes"]]) > 0.3
    assert float(imread(out / "saliency.png")[..., :3].std()) > 0.02


def test_the_command_tells_mistakes(trained: Trained, tmp_path: Path) -> None:
    called = call("explain", trained.run.path, trained.data, "--out", tmp_path, "--window", "2")
    assert called.code == 2
    assert "--window above 0, at most 1" in called.err
