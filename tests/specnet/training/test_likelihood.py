"""Networks are judged by what their exits say together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from specnet.calibration import CachedLogits
from specnet.calibration.combiner import choose_combination
from specnet.nn import create_model
from specnet.training.likelihood import all_logits, combined_nats, judge_network

pytestmark = pytest.mark.usefixtures("one_thread")
N, POINTS = 80, 64


@pytest.fixture
def spectra() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Three classes, each with a point of its own that is brighter."""
    generator = np.random.default_rng(0)
    labels = np.arange(N) % 3
    found = 0.3 * generator.standard_normal((N, POINTS))
    found[np.arange(N), 20 * labels + 2] += 1.0
    return found.astype(np.float32), labels.astype(np.int64)


@pytest.fixture
def network() -> Any:
    """Exit 0 looks at these points; the others are sure of what they make up."""
    torch.manual_seed(0)
    network: Any = create_model("nano", n_points=POINTS, n_classes=3, linear_bin=1)
    with torch.no_grad():
        weight = torch.zeros(3, POINTS)
        weight[torch.arange(3), 20 * torch.arange(3) + 2] = 4.0
        network.exit0.weight.copy_(weight)
        for head in network.heads:
            head.classify.weight.mul_(200.0)
    return network


def test_it_is_what_calibration_would_find_for_its_combiner(network: Any, spectra: Any) -> None:
    logits = all_logits(network, spectra[0])
    cached = CachedLogits(logits, spectra[1], np.zeros(logits.shape[:2], np.int64), network.static_macs())
    likelihoods = choose_combination(cached, biased=False).likelihoods
    assert combined_nats(network, *spectra, additive=False) == min(likelihoods.values())
    assert len({round(value, 3) for value in likelihoods.values()}) > 2


def test_exits_that_know_nothing_do_not_hide_one_that_does(network: Any, spectra: Any) -> None:
    """A mean over exits would be dragged down, and a recipe that is better together with exit 0 not be found."""
    together = combined_nats(network, *spectra, additive=False)
    mean = judge_network(network, *spectra, additive=False).nats
    assert together < 0.9 * mean < np.log(3)
