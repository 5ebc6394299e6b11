"""Weights as bytes: they come back exactly, or not at all."""

from __future__ import annotations

import pytest
import torch
from support_networks import random_model, random_spectra

from specnet.errors import ModelError
from specnet.nn import create_model, load_weights, save_weights

pytestmark = pytest.mark.usefixtures("one_thread")


def test_weights_come_back_exactly_and_ready_to_predict() -> None:
    network = random_model("nano", 128)
    again = load_weights(network.config.to_dict(), save_weights(network))
    assert not again.training
    spectra = random_spectra(3, 128)
    with torch.no_grad():
        for a, b in zip(network(spectra).logits, again(spectra).logits, strict=True):
            assert torch.equal(a, b)


def test_equal_networks_give_equal_bytes() -> None:
    assert save_weights(random_model("nano", 128, seed=1)) == save_weights(random_model("nano", 128, seed=1))
    assert save_weights(random_model("nano", 128, seed=1)) != save_weights(random_model("nano", 128, seed=2))


@pytest.mark.parametrize("change", [{"n_classes": 6}, {"n_points": 200}, {"adaptivity": "none"}, {"head_channels": 3}])
def test_weights_of_another_architecture_are_refused(change: dict[str, object]) -> None:
    network = create_model("nano", n_points=128, n_classes=5)
    with pytest.raises(ModelError, match="the weights do not fit the network"):
        load_weights({**network.config.to_dict(), **change}, save_weights(network))


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff" * 100, b"\x00" * 8, (1 << 40).to_bytes(8, "little") + b"{}"])
def test_bytes_that_are_no_safetensors_are_refused(data: bytes) -> None:
    architecture = create_model("nano", n_points=128, n_classes=5).config.to_dict()
    with pytest.raises(ModelError, match="the weights do not fit the network"):
        load_weights(architecture, data)


def test_truncated_weights_are_refused() -> None:
    network = create_model("nano", n_points=128, n_classes=5)
    data = save_weights(network)
    for length in (7, 100, len(data) // 2, len(data) - 1):
        with pytest.raises(ModelError, match="the weights do not fit the network"):
            load_weights(network.config.to_dict(), data[:length])
