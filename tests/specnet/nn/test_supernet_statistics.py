"""Batch-norm statistics of a network that was cut out of a supernet, or of any other."""

from __future__ import annotations

import pytest
import torch
from support_networks import random_model
from torch import Tensor

from specnet.errors import ModelError
from specnet.nn import SpecNet, SuperNet, preset
from specnet.nn.statistics import estimate_statistics

pytestmark = pytest.mark.usefixtures("one_thread")
POINTS = 120


def spectra(n: int) -> Tensor:
    return 3.0 + 2.0 * torch.randn(n, POINTS, generator=torch.Generator().manual_seed(5))


def statistics(network: SpecNet) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items() if "running" in name}


def test_statistics_are_those_of_the_spectra_and_nothing_else_changes() -> None:
    network = random_model("nano", POINTS, adaptive=False)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    estimate_statistics(network, spectra(40))
    image = spectra(40)[:, None, None]
    features = network.stem(image)
    torch.testing.assert_close(network.stem_norm.running_mean, features.mean(dim=(0, 2, 3)))
    torch.testing.assert_close(network.stem_norm.running_var, features.var(dim=(0, 2, 3)))
    changed = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {name for name in before if "running" in name or "num_batches" in name}
    assert not network.training
    assert not any(module.training for module in network.modules())


def test_batches_are_averaged_equally() -> None:
    network, halves = random_model("nano", POINTS, adaptive=False), []
    for part in (spectra(40)[:20], spectra(40)[20:]):
        estimate_statistics(network, part)
        halves.append(statistics(network))
    estimate_statistics(network, spectra(40), batch=20)
    for name, tensor in statistics(network).items():
        torch.testing.assert_close(tensor, (halves[0][name] + halves[1][name]) / 2)


def test_the_momentum_of_training_is_left_as_it_was() -> None:
    network = random_model("nano", POINTS, adaptive=False)
    estimate_statistics(network, spectra(10))
    assert network.stem_norm.momentum == 0.1


def test_a_path_that_sees_the_spectra_gets_the_same_statistics_as_its_copy() -> None:
    config = preset("nano", POINTS, 4, adaptivity="none", dropout=0.0)
    supernet = SuperNet([config])
    network = supernet.extract()
    estimate_statistics(network, spectra(30))
    supernet.train()
    with torch.no_grad():
        for _ in range(200):  # a running mean with momentum comes as close as one likes
            supernet(spectra(30)[:, None])
    path = supernet.tensors()
    for name, tensor in statistics(network).items():
        torch.testing.assert_close(path[name], tensor, rtol=1e-4, atol=1e-5)


def test_one_spectrum_is_too_few() -> None:
    with pytest.raises(ModelError, match="1 spectra were given"):
        estimate_statistics(random_model("nano", POINTS), spectra(1))
