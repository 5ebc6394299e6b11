"""A path of the supernet is the network that it stands for: its outputs, its gradients, its cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from support_networks import random_spectra
from torch.nn import functional

from specnet.errors import ModelError
from specnet.nn import BLOCKS, NetworkConfig, SpecNet, SuperNet

pytestmark = pytest.mark.usefixtures("one_thread")
POINTS, CLASSES = 90, 5
WIDEST = NetworkConfig(
    n_points=POINTS,
    n_classes=CLASSES,
    stem_channels=6,
    widths=(8, 9, 10),
    units=(2, 2, 1),
    kernel=3,
    head_channels=6,
    stem_stride=1,
    adaptivity="none",
)
BINS = (4, 8, 13)


def widest(blocks: Sequence[str] = tuple(BLOCKS), **changes: Any) -> list[NetworkConfig]:
    """The widest network for every block and number of bins."""
    return [replace(WIDEST, block=block, head_bins=bins, **changes) for block in blocks for bins in BINS]


def path(rng: np.random.Generator, largest: NetworkConfig) -> NetworkConfig:
    """A network within the largest."""
    stages = int(rng.integers(1, largest.n_stages + 1))
    return replace(
        largest,
        widths=tuple(int(rng.integers(1, width + 1)) for width in largest.widths[:stages]),
        units=tuple(int(rng.integers(0, units + 1)) for units in largest.units[:stages]),
        stem_channels=int(rng.integers(1, largest.stem_channels + 1)),
        head_channels=int(rng.integers(1, largest.head_channels + 1)),
        open_units=(),
        dropped_units=(),
    )


def random_supernet(blocks: Sequence[str] = tuple(BLOCKS), **changes: Any) -> SuperNet:
    """Random weights and batch-norm statistics, so that nothing is equal by chance."""
    supernet, generator = SuperNet(widest(blocks, **changes)), torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, tensor in supernet.state_dict().items():
            if "running_var" in name:
                tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
            elif tensor.is_floating_point():
                scale = (2.0 / tensor[0].numel()) ** 0.5 if tensor.ndim > 1 else 0.3
                start = 1.0 if "norm" in name and "/weight" in name else 0.0
                tensor.copy_(start + scale * torch.randn(tensor.shape, generator=generator))
    return supernet


@pytest.mark.parametrize("head", ["binned", "full", "pooled"])
@pytest.mark.parametrize("block", list(BLOCKS))
def test_an_extracted_path_says_what_the_path_says(block: str, head: str) -> None:
    supernet, rng, spectra = random_supernet([block], head=head), np.random.default_rng(0), random_spectra(4, POINTS)
    seen = set()
    for trial in range(6):
        config = path(rng, replace(WIDEST, block=block, head=head, head_bins=BINS[trial % 3]))
        supernet.set_path(config)
        network = supernet.extract()
        assert type(network) is SpecNet
        assert network.config == config == supernet.config
        for mode in (False, True):
            torch.manual_seed(trial)
            with torch.no_grad():
                ours = supernet.train(mode)(spectra)
            torch.manual_seed(trial)
            with torch.no_grad():
                alone = network.train(mode)(spectra)
            assert len(ours.logits) == len(alone.logits) == config.n_stages + 1
            for mine, its in zip(ours.logits, alone.logits, strict=True):
                torch.testing.assert_close(mine, its, rtol=1e-5, atol=1e-5)
            seen.update(round(float(logits[0, 0]), 3) for logits in ours.logits[1:])
        # one pass in training mode moved the same statistics by the same amount
        after = supernet.tensors()
        for name, tensor in network.state_dict().items():
            torch.testing.assert_close(after[name], tensor, rtol=1e-5, atol=1e-5)
        assert supernet.static_macs() == network.static_macs()
        assert supernet.fixed_macs() == network.fixed_macs()
        assert supernet.unit_macs() == network.unit_macs()
    assert len(seen) > 10


@pytest.mark.parametrize("block", list(BLOCKS))
def test_gradients_reach_exactly_the_slices_of_the_path(block: str) -> None:
    rng, spectra = np.random.default_rng(1), random_spectra(8, POINTS)
    labels = torch.arange(8) % CLASSES
    for _ in range(2):
        config = path(rng, replace(WIDEST, block=block, head_bins=8, dropout=0.0))
        supernet = random_supernet([block], dropout=0.0).train()
        supernet.set_path(config)
        network = supernet.extract().train()
        for model in (supernet, network):
            outputs = model(spectra)
            torch.stack([functional.cross_entropy(logits, labels) for logits in outputs.logits[1:]]).sum().backward()
        wanted = {name: weight.grad for name, weight in network.named_parameters()}
        # a weight of the widest network is marked where the path uses it, in the order of its slices
        reached = sum(int((weight.grad != 0).sum()) for weight in supernet.parameters() if weight.grad is not None)
        assert reached == sum(int((grad != 0).sum()) for grad in wanted.values() if grad is not None) > 0
        # moved by their gradients, the weights of both are still the same, and no other weight has moved
        before = {name: weight.detach().clone() for name, weight in supernet.named_parameters()}
        for model in (supernet, network):
            torch.optim.SGD(model.parameters(), lr=0.1).step()
        moved = sum(int((weight.detach() != before[name]).sum()) for name, weight in supernet.named_parameters())
        assert 0 < moved <= reached
        for name, tensor in supernet.tensors().items():
            torch.testing.assert_close(tensor.detach(), network.state_dict()[name], rtol=1e-4, atol=1e-5)


def test_units_are_prefixes_and_blocks_and_bins_have_weights_of_their_own() -> None:
    supernet = random_supernet()
    small = replace(WIDEST, widths=(8, 9), units=(1, 0), head_bins=4, open_units=(), dropped_units=())
    tensors = {}
    for name, config in (
        ("small", small),
        ("deep", replace(WIDEST, head_bins=4)),
        ("bins", replace(small, head_bins=8)),
    ):
        supernet.set_path(config)
        tensors[name] = {key: tensor.detach().clone() for key, tensor in supernet.tensors().items()}
    for key, tensor in tensors["small"].items():
        assert torch.equal(tensor, tensors["deep"][key])
        assert torch.equal(tensor, tensors["bins"][key]) or key.endswith("classify.weight")
    assert (
        tensors["bins"]["heads.0.classify.weight"].shape[1] == 2 * tensors["small"]["heads.0.classify.weight"].shape[1]
    )
    supernet.set_path(replace(small, block="plain"))
    own = {key for key in supernet.tensors() if ".units." in key} - set(tensors["small"])
    assert own  # the other block has other layers
    norm = "stages.0.units.0.norm1.weight"
    assert not torch.equal(supernet.tensors()[norm], tensors["small"][norm])


def test_the_widest_path_has_every_weight_of_its_choices() -> None:
    supernet = SuperNet([replace(WIDEST, head_bins=4)])
    network = supernet.extract()
    assert sum(weight.numel() for weight in supernet.parameters()) == sum(w.numel() for w in network.parameters())
    assert all(weight.requires_grad for weight in network.parameters())
    with torch.no_grad():
        next(network.parameters()).add_(1.0)
    assert not torch.equal(network.stem.weight, supernet.tensors()["stem.weight"])  # copies


def test_additive_heads_begin_at_zero() -> None:
    supernet = SuperNet(widest(additive=True))
    supernet.set_path(
        replace(WIDEST, additive=True, head_bins=13, widths=(4,), units=(1,), open_units=(), dropped_units=())
    )
    assert all(not logits.any() for logits in supernet(random_spectra(3, POINTS)).logits[1:])


def test_paths_that_the_supernet_does_not_hold_are_refused_with_both_values() -> None:
    supernet = SuperNet(widest())
    with pytest.raises(ModelError, match=r"widths \(8, 9, 11\), the supernet at most \(8, 9, 10\)"):
        supernet.set_path(replace(WIDEST, head_bins=4, widths=(8, 9, 11)))
    with pytest.raises(ModelError, match="stem_channels 7, the supernet at most 6"):
        supernet.set_path(replace(WIDEST, head_bins=4, stem_channels=7))
    with pytest.raises(ModelError, match="no block 'depthwise' with 5 head bins"):
        supernet.set_path(replace(WIDEST, head_bins=5))
    longer = {"widths": (8, 8, 8, 8), "units": (0,) * 4, "open_units": (), "dropped_units": ()}
    with pytest.raises(ModelError, match="4 stages, the supernet 3"):
        supernet.set_path(replace(WIDEST, head_bins=4, **longer))
    with pytest.raises(ModelError, match="another network"):
        supernet.set_path(replace(WIDEST, head_bins=4, kernel=5))
    with pytest.raises(ModelError, match="another network"):
        supernet.set_path(replace(WIDEST, head_bins=4, open_units=(1, 0, 0)))
    assert supernet.config == widest()[0]  # a refused path changes nothing


def test_widest_networks_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(ModelError, match="at least one"):
        SuperNet([])
    with pytest.raises(ModelError, match="block and head_bins only"):
        SuperNet([WIDEST, replace(WIDEST, block="plain", kernel=5)])
    with pytest.raises(ModelError, match="static, expected adaptivity 'none'"):
        SuperNet([replace(WIDEST, adaptivity="gate")])
