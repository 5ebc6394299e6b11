"""Every network of the registry says the same in torch and as a chain of ONNX graphs, which is what is timed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from support_networks import random_spectra, randomise, vary_depths

from specnet.errors import ModelError
from specnet.export import cumulative_us, last_exit_graph, last_exit_us
from specnet.export.exit_graphs import exit_graphs
from specnet.export.latency import ExitChain
from specnet.export.session import open_session
from specnet.nn import SpecNet, create_model, list_models

pytestmark = pytest.mark.usefixtures("one_thread")
CASES: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in list_models() if name != "base"),
    ("resnet1d", {"layers": 3, "blocks": 1, "width": 5, "kernel": 7}),
    ("msdnet1d", {"scales": 1, "exits": 2, "base": 1, "step": 3}),
    ("msdnet1d", {"scales": 4, "exits": 3, "base": 1, "step": 1, "growth": 3}),
]


@pytest.mark.parametrize("length", [65, 128])
@pytest.mark.parametrize(("name", "changes"), CASES)
def test_every_exit_agrees(name: str, changes: dict[str, Any], length: int) -> None:
    torch.manual_seed(0)
    network = create_model(name, n_points=length, n_classes=5, **changes)
    randomise(network)  # type: ignore[arg-type]
    if isinstance(network, SpecNet):
        vary_depths(network)
    spectra = random_spectra(3, length)
    with torch.no_grad():
        expected = network(spectra).logits
    tolerance = 1e-4 * max(1.0, max(float(logits.abs().max()) for logits in expected))
    chain = ExitChain(network, spectra[:, 0].numpy())
    assert len(chain) == network.n_exits
    for row in range(3):
        found, seconds = chain.run(spectra[row, 0].numpy())
        assert (seconds > 0).all()
        for one, many in zip(found, expected, strict=True):
            np.testing.assert_allclose(one[0], many[row].numpy(), atol=tolerance)


@pytest.mark.parametrize("name", ["nano", "resnet1d", "msdnet1d"])
def test_time_adds_up_from_exit_to_exit(name: str) -> None:
    network = create_model(name, n_points=128, n_classes=3)
    times = cumulative_us(network, random_spectra(4, 128)[:, 0].numpy())
    assert len(times) == network.n_exits
    assert times == sorted(times)
    assert times[0] > 0


@pytest.mark.parametrize(("name", "changes"), CASES)
def test_the_last_exit_alone_says_the_same(name: str, changes: dict[str, Any]) -> None:
    torch.manual_seed(0)
    network = create_model(name, n_points=100, n_classes=4, **changes)
    randomise(network)  # type: ignore[arg-type]
    spectra = random_spectra(3, 100)
    with torch.no_grad():
        expected = network(spectra).logits[-1].numpy()
    session = open_session(last_exit_graph(network))
    assert [(value.name, value.shape[1:]) for value in session.get_inputs()] == [("features", [100, 1])]
    assert [(value.name, value.shape[1:]) for value in session.get_outputs()] == [("logits", [4])]
    (found,) = session.run(None, {"features": spectra[:, 0, :, None].numpy()})
    np.testing.assert_allclose(found, expected, atol=1e-4 * max(1.0, float(np.abs(expected).max())))


def test_without_early_exits_a_network_is_faster_than_with_them() -> None:
    """Compared by what is computed: the shallow heads are not in the graph."""
    network = create_model("tiny", n_points=400, n_classes=30)
    alone, whole = len(last_exit_graph(network)), sum(len(graph) for graph in exit_graphs(network))
    assert alone < 0.8 * whole
    assert last_exit_us(network, random_spectra(2, 400)[:, 0].numpy()) > 0


def test_networks_without_an_onnx_form_are_named() -> None:
    class Unknown(torch.nn.Module):
        pass

    with pytest.raises(ModelError, match="network Unknown has no ONNX form"):
        exit_graphs(Unknown())  # type: ignore[arg-type]
