"""What exits hand on: by hand, in rows of features, and over everything that is registered."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from support_networks import random_model, random_spectra
from torch import Tensor

from specnet.errors import ConfigurationError, ModelError
from specnet.nn import RELAYS, NetworkConfig, SpecNet, SuperNet, create_model, preset
from specnet.nn.bottleneck import BottleneckConfig
from specnet.nn.coded import with_bottleneck
from specnet.nn.halting import NONE
from specnet.nn.relays import Attention, Cascade, carried_rows, load, unload
from specnet.nn.splitting import run_behind, run_until
from specnet.training import TrainConfig
from specnet.training.compatibility import check_losses

pytestmark = pytest.mark.usefixtures("one_thread")


def _config(**changes: Any) -> NetworkConfig:
    return preset("nano", 128, 3, adaptivity=NONE, **changes)


def _relay(network: SpecNet, index: int) -> Any:
    return network.head(index).relay


def test_a_cascade_adds_what_the_exit_before_says_without_its_scale() -> None:
    first, second = Cascade(_config(), 1, 8), Cascade(_config(), 2, 8)
    assert first.weigh is None
    assert second.weigh is not None
    with torch.no_grad():
        second.weigh.weight.copy_(torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0], [2.0, 0.0, 0.0]]))
    said = torch.tensor([[30.0, 0.0, -30.0]])
    logits, handed = first(torch.zeros(1, 8), said, None)
    assert torch.equal(logits, said)
    normed = 1.5**0.5  # three numbers 1, 0, -1 with mean 0 and variance 2/3
    torch.testing.assert_close(handed, torch.tensor([[normed, 0.0, -normed]]))
    added, _ = second(torch.zeros(1, 8), torch.tensor([[1.0, 1.0, 1.0]]), handed)
    torch.testing.assert_close(added, torch.tensor([[1.0, 1.0, 1.0 + 2 * normed]]))
    assert (first.macs, second.macs) == (0, 9)


def test_a_cascade_with_zero_weights_is_the_network_without_it() -> None:
    cascade, plain = (random_model("tiny", 200, adaptivity=NONE, relay=relay) for relay in ("cascade", "none"))
    with torch.no_grad():
        for index in range(2, cascade.n_exits):
            _relay(cascade, index).weigh.weight.zero_()
    plain.load_state_dict({k: v for k, v in cascade.state_dict().items() if ".relay." not in k})
    for one, other in zip(cascade(random_spectra(3, 200)).logits, plain(random_spectra(3, 200)).logits, strict=True):
        torch.testing.assert_close(one, other)


def _reaches(network: SpecNet, loss_exit: int, part: int) -> bool:
    """Whether the loss of one exit moves the head of another."""
    network.zero_grad()
    network(random_spectra(4, 200)).logits[loss_exit].square().sum().backward()
    return any(w.grad is not None and bool(w.grad.any()) for w in network.head(part).parameters())


def test_no_gradient_goes_back_through_a_cascade() -> None:
    network = random_model("nano", 200, adaptivity=NONE, relay="cascade")
    assert _reaches(network, 2, 2)
    assert not _reaches(network, 2, 1)
    attentive = random_model("nano", 200, adaptivity=NONE, relay="attention")
    assert _reaches(attentive, 2, 1)


def test_attention_that_goes_on_layer_by_layer_is_the_softmax_over_layers() -> None:
    torch.manual_seed(0)
    config = _config()
    relays = [Attention(config, index, 8) for index in (1, 2, 3)]
    embeddings = torch.randn(3, 5, 8)
    handed, logits = None, torch.zeros(5, 3)
    for relay, embedding in zip(relays, embeddings, strict=True):
        found, handed = relay(embedding, logits, handed)
    values = torch.stack([torch.relu(relay.value(e)) for relay, e in zip(relays, embeddings, strict=True)])
    scores = torch.stack([relay.score(value) for relay, value in zip(relays, values, strict=True)])
    seen = (torch.softmax(scores, dim=0) * values).sum(dim=0)
    torch.testing.assert_close(found, relays[-1].weigh(seen))
    assert handed is not None
    torch.testing.assert_close(handed, torch.cat([seen, scores.logsumexp(dim=0)], dim=1))


def test_attention_of_the_first_exit_sees_its_own_layer_alone() -> None:
    relay = Attention(_config(), 1, 2)
    with torch.no_grad():
        relay.value.weight.copy_(torch.eye(relay.size - 1, 2))
        relay.value.bias.zero_()
        relay.weigh.weight.copy_(torch.eye(3, relay.size - 1))
    logits, _ = relay(torch.tensor([[2.0, -1.0]]), torch.tensor([[1.0, 1.0, 1.0]]), None)
    assert logits.tolist() == [[3.0, 1.0, 1.0]]
    assert relay.macs == 4 * 2 + 4 + 3 * 4 + 4


@pytest.mark.parametrize("size", [1, 5, 6, 7, 12, 13])
def test_what_is_handed_on_lies_behind_the_features(size: int) -> None:
    features, handed = torch.randn(2, 4, 6), torch.randn(2, size)
    rows = load(features, handed)
    assert rows.shape == (2, 4 + carried_rows(size, 6), 6)
    assert torch.equal(rows[:, :4], features)
    back, found = unload(rows, size)
    assert torch.equal(back, features)
    assert found is not None
    assert torch.equal(found, handed)
    assert load(features, None) is features
    assert unload(features, 0) == (features, None)


@pytest.mark.parametrize("relay", sorted(RELAYS))
@pytest.mark.parametrize("n_classes", [3, 100])
def test_segments_and_halves_say_what_the_network_says(relay: str, n_classes: int) -> None:
    network = random_model("tiny", 200, n_classes=n_classes, adaptivity=NONE, relay=relay)
    spectra = random_spectra(4, 200)
    with torch.no_grad():
        whole = network(spectra).logits
        features: Tensor = spectra.transpose(1, 2)
        for index in range(network.n_exits):
            logits, following, _ = network.run_segment(index, features)
            torch.testing.assert_close(logits, whole[index])
            if following is not None:
                assert following.shape[1:] == network.handed_shape(index)
                features = following
        for split in range(1, network.config.n_stages):
            handover = run_until(network, split, spectra)
            both = [*handover.logits, *run_behind(network, split, handover.features)]
            for one, other in zip(both, whole, strict=True):
                torch.testing.assert_close(one, other)


@pytest.mark.parametrize("relay", sorted(RELAYS))
def test_a_relay_costs_what_it_multiplies(relay: str) -> None:
    with_relay, plain = (random_model("tiny", 200, adaptivity=NONE, relay=name) for name in (relay, "none"))
    more = np.subtract(with_relay.fixed_macs(), plain.fixed_macs())
    assert more.tolist() == [0, *(_relay(with_relay, k).macs for k in range(1, with_relay.n_exits))]
    assert with_relay.static_macs() - plain.static_macs() == more.sum()


def test_what_does_not_go_together_is_refused() -> None:
    with pytest.raises(ModelError, match="unknown relay 'pony'; known: none, cascade, attention"):
        create_model("nano", n_points=128, n_classes=3, adaptivity=NONE, relay="pony")
    with pytest.raises(ModelError, match="goes with adaptivity 'none' only, got 'gate'"):
        create_model("nano", n_points=128, n_classes=3, relay="cascade")
    with pytest.raises(ModelError, match="added to exit 0 do not go with the relay 'cascade'"):
        _config(relay="cascade", additive=True)
    with pytest.raises(ModelError, match="residual stages and no relay, got 'residual' and 'attention'"):
        SuperNet([_config(relay="attention")])
    network = random_model("tiny", 200, adaptivity=NONE, relay="cascade")
    shape = BottleneckConfig(positions=network.config.positions[0], channels=16)
    with pytest.raises(ModelError, match="relay 'cascade' has no learned bottleneck"):
        with_bottleneck(network, 1, shape)
    with pytest.raises(ConfigurationError, match="loss boosted does not go with the relay 'cascade'"):
        check_losses(TrainConfig(losses=("boosted",), relay="cascade", additive=False))
