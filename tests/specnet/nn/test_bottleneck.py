"""The bottleneck in torch: shapes, gradients, rates, and the cut of a network in two."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from specnet.errors import ModelError
from specnet.nn import HARD, SpecNet, create_model
from specnet.nn.bottleneck import Bottleneck, BottleneckConfig
from specnet.nn.splitting import run_behind, run_until

CONFIG = BottleneckConfig(positions=29, channels=5, patch=4, latent=3, bits=4, hidden=16)


@pytest.fixture
def network() -> SpecNet:
    torch.manual_seed(0)
    network = create_model("nano", n_points=200, n_classes=4)
    assert isinstance(network, SpecNet)
    return network.eval()


def test_a_network_cut_in_two_says_what_it_says_whole(network: SpecNet) -> None:
    spectra = torch.randn(6, 1, 200)
    with torch.no_grad():
        whole = network(spectra, HARD)
        for split in range(1, network.config.n_stages):
            handover = run_until(network, split, spectra)
            behind = run_behind(network, split, handover.features)
            for one, other in zip([*handover.logits, *behind], whole.logits, strict=True):
                torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(handover.depth, whole.depths[split - 1])
            assert handover.features.shape == (6, network.config.positions[split - 1], network.config.widths[split - 1])


def test_there_are_features_only_between_stages(network: SpecNet) -> None:
    for split in (0, network.config.n_stages):
        with pytest.raises(ModelError, match=f"split is {split}, features are handed over at 1 to"):
            run_until(network, split, torch.randn(1, 1, 200))


def test_what_is_sent_is_whole_and_bounded() -> None:
    torch.manual_seed(0)
    bottleneck = Bottleneck(CONFIG)
    features = 50 * torch.randn(7, 29, 5)
    symbols = bottleneck.symbols(features)
    assert symbols.shape == (7, 8, 3)
    assert (symbols == symbols.round()).all()
    assert symbols.abs().max() == CONFIG.levels == 7
    assert bottleneck.restore(symbols).shape == features.shape


def test_gradients_reach_every_parameter_through_the_rounding() -> None:
    torch.manual_seed(0)
    bottleneck = Bottleneck(CONFIG)
    restored, bits = bottleneck(torch.randn(7, 29, 5))
    ((restored**2).mean() + 1e-3 * bits.mean()).backward()
    for name, parameter in bottleneck.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name


def test_the_rate_is_that_of_a_logistic_distribution() -> None:
    """Against scipy's distribution function, one latent number at a time."""
    from scipy.stats import logistic

    bottleneck = Bottleneck(CONFIG)
    with torch.no_grad():
        bottleneck.prior_log_scale.fill_(float(np.log(1.7)))
    values = torch.tensor([-6.0, -1.3, 0.0, 0.4, 5.9])
    found = bottleneck._bits(values[:, None, None].expand(5, 8, 3))[:, 0, 0].detach().numpy()
    expected = -np.log2(logistic.cdf(values + 0.5, scale=1.7) - logistic.cdf(values - 0.5, scale=1.7))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_a_patch_that_is_not_sent_costs_nothing_and_says_nothing() -> None:
    torch.manual_seed(0)
    bottleneck = Bottleneck(CONFIG)
    one, other = torch.randn(2, 1, 29, 5)
    sent = torch.zeros(1, 8)
    restored, bits = bottleneck(one, sent)
    assert bits.item() == 0
    torch.testing.assert_close(restored, bottleneck(other, sent)[0])


def test_normalising_begins_with_the_directions_that_vary_most() -> None:
    torch.manual_seed(0)
    bottleneck = Bottleneck(CONFIG)
    direction = torch.randn(20)
    features = torch.zeros(64, 29, 5)
    features[:, :28] = (torch.randn(64, 7, 1) * direction).reshape(64, 28, 5)
    bottleneck.normalise(features)
    first = bottleneck.analyse.weight[0].detach()
    scaled = direction / bottleneck.deviation.repeat(4)
    assert abs(torch.cosine_similarity(first, scaled, dim=0)) > 0.99


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bits": 1}, "bits of a bottleneck are 1, expected 2 to 8"),
        ({"bits": 9}, "bits of a bottleneck are 9, expected 2 to 8"),
        ({"patch": 0}, "patch of a bottleneck is 0, expected 1 to 1024"),
        ({"latent": 1000}, "latent of a bottleneck is 1000, expected 1 to 256"),
    ],
)
def test_sizes_are_limited(changes: dict[str, int], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        BottleneckConfig(**{"positions": 10, "channels": 2, **changes})
