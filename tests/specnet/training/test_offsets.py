"""Additive exits: they begin as exit 0 and learn what it leaves over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, TensorDataset

from specnet.errors import ModelError
from specnet.nn import DENSE, SpecNet, create_model
from specnet.training import TrainConfig, train_network
from specnet.training.offsets import WithOffsets

pytestmark = pytest.mark.usefixtures("one_thread")
POINTS, CLASSES, N = 64, 3, 48


def _toy() -> Any:
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(N) % CLASSES
    spectra = torch.randn(N, POINTS, generator=generator)
    spectra[torch.arange(N), 10 + 20 * labels] += 6.0
    return TensorDataset(spectra, labels)


def _offsets(seed: int = 2) -> Tensor:
    return torch.randn(N, CLASSES, generator=torch.Generator().manual_seed(seed))


def _additive() -> SpecNet:
    torch.manual_seed(0)
    network = create_model("nano", n_points=POINTS, n_classes=CLASSES, additive=True, adaptivity="none")
    assert isinstance(network, SpecNet)
    assert network.exit0 is not None
    network.exit0.weight.copy_(torch.randn(network.exit0.weight.shape))
    network.start_from_exit0()
    return network


class _Batched(Dataset[tuple[Tensor, Tensor]]):
    """Hands out whole batches, from the disk as it were, and remembers which."""

    in_memory = False

    def __init__(self) -> None:
        self.asked: list[list[int]] = []

    def __len__(self) -> int:
        return N

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[Tensor, Tensor]]:
        self.asked.append(list(indices))
        return [_toy()[index] for index in indices]


def test_every_spectrum_comes_with_its_own_offset() -> None:
    offsets = _offsets()
    items = WithOffsets(_toy(), offsets)
    assert len(items) == N
    assert items.in_memory
    spectrum, label, offset = items[7]
    assert torch.equal(spectrum, _toy()[7][0])
    assert label == 7 % CLASSES
    assert torch.equal(offset, offsets[7])
    marked = TensorDataset(torch.arange(N)[:, None].float().expand(N, POINTS), torch.arange(N))
    for spectra, labels, batch in DataLoader(WithOffsets(marked, offsets), batch_size=9, shuffle=True):
        assert torch.equal(spectra[:, 0].long(), labels)
        assert torch.equal(batch, offsets[labels])


def test_data_that_hand_out_batches_are_asked_for_batches() -> None:
    data = _Batched()
    items = WithOffsets(data, _offsets())
    assert not items.in_memory
    fetched = items.__getitems__([5, 3, 40])
    assert data.asked == [[5, 3, 40]]
    for index, (spectrum, label, offset) in zip([5, 3, 40], fetched, strict=True):
        assert torch.equal(spectrum, _toy()[index][0])
        assert label == index % CLASSES
        assert torch.equal(offset, _offsets()[index])


def test_there_is_one_offset_a_spectrum() -> None:
    with pytest.raises(ModelError, match="48 spectra need as many offsets, got 47"):
        WithOffsets(_toy(), _offsets()[:-1])


def test_additive_exits_begin_as_exit_0() -> None:
    network, spectra = _additive(), _toy().tensors[0][:, None]
    for mode in (True, False):
        network.train(mode)
        with torch.no_grad():
            outputs = network(spectra, DENSE)
        for logits in outputs.added(outputs.logits[0]).logits:
            assert torch.equal(logits, outputs.logits[0])


def test_the_first_loss_is_that_of_the_offsets() -> None:
    """One step an epoch: its loss is taken before the network has moved, at three exits and with alpha 0."""
    network, offsets, data = _additive(), _offsets(), _toy()
    config = TrainConfig(
        preset="nano", epochs=1, batch_size=12, augmentation="none", adaptivity="none", losses=("cross_entropy",),
        distillation=0.0, learning_rate=1e-12,
    )  # fmt: skip
    values = train_network(network, data, config, offsets=offsets).history[0]
    expected = functional.cross_entropy(offsets, data.tensors[1])
    assert values["cross_entropy"] == pytest.approx(3 * float(expected), rel=1e-5)


def test_offsets_that_know_the_answer_leave_nothing_to_learn() -> None:
    config = TrainConfig(
        preset="nano", epochs=10, batch_size=12, augmentation="none", adaptivity="none", learning_rate=0.02
    )
    labels = _toy().tensors[1]
    known = 40.0 * functional.one_hot(labels, CLASSES).float()
    settled, learning = _additive(), _additive()
    train_network(settled, _toy(), config, offsets=known)
    train_network(learning, _toy(), config, offsets=torch.zeros(N, CLASSES))
    sizes = []
    for network in (settled, learning):
        with torch.no_grad():
            sizes.append(float(network(_toy().tensors[0][:, None], DENSE).logits[-1].abs().max()))
    assert sizes[0] < 0.01
    assert sizes[1] > 0.5


def test_exit_0_is_never_trained() -> None:
    network = _additive()
    assert network.exit0 is not None
    before = network.exit0.weight.clone()
    config = TrainConfig(preset="nano", epochs=2, batch_size=12, augmentation="none", adaptivity="none")
    train_network(network, _toy(), config, offsets=_offsets())
    assert torch.equal(network.exit0.weight, before)
