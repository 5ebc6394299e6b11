"""The G-Ghost stage: a case counted by hand, its cost, and what it is without thin units."""

from __future__ import annotations

import pytest
import torch
from support_networks import random_model, random_spectra
from torch import Tensor, nn

from specnet.errors import ModelError
from specnet.nn import BLOCKS, DENSE, GGhostStage, SuperNet, create_model, preset
from specnet.nn.halting import NONE

pytestmark = pytest.mark.usefixtures("one_thread")


def _stage(channels: int, units: int) -> GGhostStage:
    stage = GGhostStage(channels, channels, units, block="depthwise", expansion=2, kernel=3, adaptivity=NONE)
    return stage.eval()


def _pass_on(layer: nn.Conv2d, value: float) -> None:
    """Every output channel is `value` times the sum of all inputs, at the last tap."""
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[..., -1] = value


def test_a_stage_of_two_channels_by_hand() -> None:
    stage = _stage(2, 2)  # one channel is thin, one cheap
    with torch.no_grad():
        stage.merge.weight.zero_()
        stage.merge.weight[0, 0, 0, 0] = stage.merge.weight[1, 1, 0, 1] = 1.0
        for units in (stage.thin_units, stage.last_units):
            for unit in units:
                nn.init.zeros_(unit.norm3.weight)
                nn.init.zeros_(unit.norm3.bias)
        nn.init.ones_(stage.thin_unit(0).norm3.bias)  # the thin unit adds 1
        for layer, value in ((stage.cheap, 1.0), (stage.mix_in, 1.0), (stage.mix_out, 10.0)):
            _pass_on(layer, value)
    # strided: first channel of the first, second channel of the second of each pair
    x = torch.tensor([[[[1.0, 9.0, 3.0, 9.0]], [[9.0, 2.0, 9.0, 6.0]]]])
    first, second = torch.tensor([1.0, 3.0]), torch.tensor([2.0, 6.0])
    mixed = (first + second + (first + 1)).mean()  # channels of the first unit and of the thin one, over positions
    expected = torch.stack([first + 1, first + second + 10 * mixed])
    found = stage(x, DENSE)
    torch.testing.assert_close(found.features[0, :, 0], expected, rtol=1e-4, atol=1e-4)
    assert found.depth.tolist() == [[2, 2]]
    assert found.gates.shape == (1, 2, 2)


@pytest.mark.parametrize("units", [0, 1])
def test_without_thin_units_it_is_an_ordinary_stage(units: int) -> None:
    torch.manual_seed(0)
    changes = {"widths": (6, 8), "units": (units, units), "adaptivity": NONE}
    ghost = create_model("nano", n_points=100, n_classes=3, stage="g_ghost", **changes).eval()
    plain = create_model("nano", n_points=100, n_classes=3, **changes).eval()
    plain.load_state_dict({name.replace("last_units", "units"): w for name, w in ghost.state_dict().items()})
    for one, other in zip(ghost(random_spectra(2, 100)).logits, plain(random_spectra(2, 100)).logits, strict=True):
        torch.testing.assert_close(one, other)
    assert ghost.static_macs() == plain.static_macs()


@pytest.mark.parametrize("block", sorted(BLOCKS))
@pytest.mark.parametrize("name", ["tiny", "base"])
def test_it_costs_what_its_layers_multiply_and_less_than_an_ordinary_one(name: str, block: str) -> None:
    network = random_model(name, 333, adaptivity=NONE, stage="g_ghost", block=block)
    counted = 0

    def count(module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal counted
        assert isinstance(module, nn.Conv2d)
        counted += module.weight.numel() * output.shape[-1]

    for stage in network.stages:
        for module in stage.modules():
            if isinstance(module, nn.Conv2d):
                module.register_forward_hook(count)
    with torch.no_grad():
        network(random_spectra(1, 333), DENSE)
    positions = network.config.positions
    means, copies = 0, 0
    for k, p in enumerate(positions, start=1):
        stage = network.any_stage(k)
        assert isinstance(stage, GGhostStage)
        means += p * (stage.mix_in.in_channels if stage.cheap_channels else 0)
        copies += p * sum(getattr(unit, "copied", 0) for unit in (*stage.thin_units, *stage.last_units))
    assert sum(network.any_stage(k).fixed_macs(p) for k, p in enumerate(positions, 1)) == counted + means + copies
    plain = random_model(name, 333, adaptivity=NONE, block=block)
    assert network.static_macs() < plain.static_macs()
    assert network.unit_macs() == [0] * len(positions)


def test_the_mix_sees_all_positions() -> None:
    torch.manual_seed(0)
    network = random_model("tiny", 333, adaptivity=NONE, stage="g_ghost")
    image = network.run_stem(random_spectra(1, 333))
    stage = network.any_stage(2)
    here = network.any_stage(1)(image, DENSE).features
    changed = here.clone()
    changed[..., -2:] += 10.0
    one, other = (stage(x, DENSE).features[0, :, 0, 0] for x in (here, changed))
    assert isinstance(stage, GGhostStage)
    thin = stage.thin_channels
    assert not torch.allclose(one[thin:], other[thin:])


def test_positions_that_halt_and_supernets_are_refused() -> None:
    with pytest.raises(ModelError, match="expected adaptivity 'none' and no open units, got 'gate' and 0"):
        create_model("nano", n_points=128, n_classes=3, stage="g_ghost")
    with pytest.raises(ModelError, match="unknown stage 'opera'; known: residual, g_ghost"):
        create_model("nano", n_points=128, n_classes=3, stage="opera")
    with pytest.raises(ModelError, match="residual stages and no relay, got 'g_ghost' and 'none'"):
        SuperNet([preset("nano", 128, 3, adaptivity=NONE, stage="g_ghost")])
