"""Every registered residual unit: nearly nothing at first, counted right, trainable, and local."""

from __future__ import annotations

import pytest
import torch
from support_networks import randomise
from torch import Tensor, nn

from specnet.errors import ModelError
from specnet.nn import BLOCKS, Block, create_block

pytestmark = pytest.mark.usefixtures("one_thread")
SHAPES = [(1, 1, 3), (5, 2, 7), (12, 3, 5), (16, 2, 7)]


def _features(channels: int, positions: int = 20, seed: int = 0) -> Tensor:
    return torch.randn(2, channels, 1, positions, generator=torch.Generator().manual_seed(seed))


def _create(name: str, channels: int = 6, expansion: int = 2, kernel: int = 5) -> Block:
    torch.manual_seed(0)
    return create_block(name, channels, expansion, kernel)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", sorted(BLOCKS))
def test_a_branch_has_its_inputs_shape(name: str, shape: tuple[int, int, int]) -> None:
    block = _create(name, *shape)
    features = _features(shape[0])
    assert block(features).shape == features.shape
    assert (block.channels, block.kernel) == (shape[0], shape[2])


@pytest.mark.parametrize("name", sorted(BLOCKS))
def test_a_unit_begins_as_nearly_nothing(name: str) -> None:
    block = _create(name, channels=16).train()
    features = _features(16, 200)
    share = block(features).detach().std() / features.std()
    assert 0.01 < float(share) < 0.15


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", sorted(BLOCKS))
def test_macs_are_what_the_layers_multiply_at_one_position(name: str, shape: tuple[int, int, int]) -> None:
    block = _create(name, *shape).eval()
    filtered: list[Tensor] = []
    counted = 0

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal counted
        if isinstance(module, nn.Conv2d):
            counted += module.weight.numel()
            filtered.append(output)
        elif not any(inputs[0] is known for known in filtered):
            counted += output.shape[1]  # a batch norm that cannot be folded into a layer scales channels by itself

    for module in block.modules():
        if isinstance(module, (nn.Conv2d, nn.BatchNorm2d)):
            module.register_forward_hook(count)
    block(_features(shape[0]))
    assert block.macs == counted > 0


@pytest.mark.parametrize("name", sorted(BLOCKS))
def test_every_parameter_and_the_input_get_a_gradient(name: str) -> None:
    block = _create(name).train()
    features = _features(6).requires_grad_()
    target = _features(6, seed=1)
    ((block(features) - target) ** 2).mean().backward()
    assert features.grad is not None
    assert (features.grad != 0).any()
    for parameter_name, parameter in block.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert torch.isfinite(parameter.grad).all()
        assert (parameter.grad != 0).any(), parameter_name


@pytest.mark.parametrize("name", sorted(BLOCKS))
def test_only_the_window_decides_a_position(name: str) -> None:
    block = _create(name, kernel=5)
    randomise(block)
    features = _features(6)
    changed = features.clone()
    changed[..., 13:] += 5.0  # position 10 sees 8..12
    with torch.no_grad():
        before, after = block(features), block(changed)
    assert torch.equal(before[..., :11], after[..., :11])
    assert not torch.equal(before[..., 11], after[..., 11])


def test_a_plain_unit_has_no_hidden_channels_to_expand() -> None:
    assert create_block("plain", 8, 1, 5).macs == create_block("plain", 8, 4, 5).macs == 6 * 8 * 8


def test_a_ghost_unit_costs_about_half_of_a_depthwise_one() -> None:
    share = create_block("ghost", 64, 2, 7).macs / create_block("depthwise", 64, 2, 7).macs
    assert share == pytest.approx(0.5, abs=0.03)


def test_unknown_blocks_are_named() -> None:
    with pytest.raises(ModelError, match=f"unknown block 'attention'; known: {', '.join(BLOCKS)}"):
        create_block("attention", 8, 2, 7)
