"""Taps change gradients in training as they say, and never a value."""

from __future__ import annotations

import pytest
import torch
from support_networks import random_model, random_spectra
from torch import Tensor

from specnet.errors import ModelError
from specnet.nn import DENSE, TAPS, SpecNet, create_model, create_tap, preset
from specnet.nn.config import NetworkConfig

pytestmark = pytest.mark.usefixtures("one_thread")
CONFIG = preset("nano", 300, 4)


def _network(tap: str, **changes: object) -> SpecNet:
    torch.manual_seed(3)
    # without dropout, training mode has nothing random; batch statistics are the same for all taps
    return create_model("nano", n_points=200, n_classes=4, tap=tap, dropout=0.0, **changes).train()


def _gradients(network: SpecNet, exits: range) -> dict[str, Tensor]:
    """Gradients of the summed logits of some exits, squared so that they differ."""
    network.zero_grad()
    outputs = network(random_spectra(6, 200), DENSE)
    sum((outputs.logits[index].square().sum() for index in exits), start=torch.zeros(())).backward()
    return {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("tap", sorted(TAPS))
def test_values_are_those_without_a_tap_in_training_and_evaluation(tap: str) -> None:
    plain, tapped = _network("identity"), _network(tap)
    for training in (True, False):
        for a, b in zip(
            plain.train(training)(random_spectra(6, 200)).logits,
            tapped.train(training)(random_spectra(6, 200)).logits,
            strict=True,
        ):
            assert torch.equal(a, b)


@pytest.mark.parametrize("tap", sorted(TAPS))
def test_a_tap_has_no_weights_and_no_cost(tap: str) -> None:
    plain, tapped = _network("identity"), _network(tap)
    assert list(plain.state_dict()) == list(tapped.state_dict())
    assert tapped.static_macs() == plain.static_macs()


@pytest.mark.parametrize("tap", sorted(TAPS))
def test_evaluation_has_the_true_gradient_of_the_spectrum(tap: str) -> None:
    gradients = []
    for network in (_network("identity").eval(), _network(tap).eval()):
        spectra = random_spectra(2, 200).requires_grad_()
        network(spectra, DENSE).logits[-1].sum().backward()
        gradients.append(spectra.grad)
    assert gradients[0] is not None
    assert gradients[0].any()
    assert torch.equal(gradients[0], gradients[1])


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_channel_split_keeps_the_next_stage_away_from_the_last_channels(share: float) -> None:
    x = torch.randn(2, 8, 1, 5).requires_grad_()
    config = NetworkConfig.from_dict({**CONFIG.to_dict(), "tap": "channel_split", "tap_share": share})
    for_head, for_next = create_tap(config, 1)(x)
    (for_head.sum() + 10.0 * for_next.sum()).backward()
    common = int(share * 8)
    assert x.grad is not None
    assert (x.grad[:, :common] == 11.0).all()
    assert (x.grad[:, common:] == 1.0).all()


def test_gradient_rescale_turns_the_sum_over_deeper_exits_into_their_mean() -> None:
    plain, tapped = _network("identity"), _network("gradient_rescale")
    stages = plain.config.n_stages
    expected, found = _gradients(plain, range(1, stages + 1)), _gradients(tapped, range(1, stages + 1))
    assert set(expected) == set(found)
    for name, gradient in expected.items():
        # the stem lies before stage 1 and takes part in the mean over all exits
        index = int(name.split(".")[1]) if name.startswith("stages") else 0
        factor = 1.0 if name.startswith("heads") else 1.0 / (stages - index)
        torch.testing.assert_close(found[name], factor * gradient, rtol=1e-4, atol=1e-6, msg=name)


def test_with_channel_split_the_heads_keep_their_gradients_and_a_stage_alone_does_too() -> None:
    plain, tapped = _network("identity"), _network("channel_split", tap_share=0.5)
    expected, found = _gradients(plain, range(1, 4)), _gradients(tapped, range(1, 4))
    for name in expected:
        if name.startswith(("heads", "stages.2")):
            torch.testing.assert_close(found[name], expected[name], msg=name)
    assert not torch.allclose(found["stages.0.merge.weight"], expected["stages.0.merge.weight"])
    # nothing of a deeper exit passes a tap that shares nothing
    closed = _network("channel_split", tap_share=0.0)
    alone, together = _gradients(closed, range(1, 2)), _gradients(closed, range(1, 4))
    torch.testing.assert_close(alone["stages.0.merge.weight"], together["stages.0.merge.weight"])


def test_an_unknown_tap_and_an_impossible_share_are_refused() -> None:
    with pytest.raises(ModelError, match=r"unknown tap 'tee'; known: identity, channel_split, gradient_rescale"):
        create_model("nano", n_points=128, n_classes=3, tap="tee")
    for share in (-0.1, 1.1):
        with pytest.raises(ModelError, match=f"tap_share is {share}, expected from 0 to 1"):
            create_model("nano", n_points=128, n_classes=3, tap_share=share)


def test_exported_segments_know_nothing_of_taps() -> None:
    from specnet.export import export_segments

    networks = [random_model("nano", 128, tap=tap) for tap in TAPS]
    exported = [export_segments(network) for network in networks]
    assert all(segments == exported[0] for segments in exported)
