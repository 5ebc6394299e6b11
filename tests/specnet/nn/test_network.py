"""Every preset on every length of axis: shapes, sizes, segments, and cost."""

from __future__ import annotations

import pytest
import torch
from support_networks import random_model, random_spectra
from torch import Tensor, nn

from specnet.errors import ModelError
from specnet.nn import DENSE, PRESETS, NetworkConfig, SpecNet, create_model, preset

pytestmark = pytest.mark.usefixtures("one_thread")
LENGTHS = (128, 333, 1000)
SIZES = {"nano": 12_000, "tiny": 75_000, "peaks": 65_000, "small": 250_000, "base": 1_000_000}


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_exit_and_stage_has_the_announced_shape(name: str, length: int) -> None:
    network = random_model(name, length, n_classes=7)
    config = network.config
    outputs = network(random_spectra(3, length))
    assert [tuple(logits.shape) for logits in outputs.logits] == [(3, 7)] * network.n_exits
    assert [tuple(depth.shape) for depth in outputs.depths] == [(3, positions) for positions in config.positions]
    assert [tuple(gates.shape) for gates in outputs.gates] == [
        (3, units, positions) for units, positions in zip(config.units, config.positions, strict=True)
    ]
    assert all(torch.isfinite(logits).all() for logits in outputs.logits)
    assert network.n_exits == config.n_stages + 1 == len(network.fixed_macs()) == len(network.unit_macs()) + 1


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_presets_have_the_size_they_promise(name: str) -> None:
    network = create_model(name, n_points=1000, n_classes=30)
    parameters = sum(tensor.numel() for tensor in network.parameters())
    assert parameters == pytest.approx(SIZES[name], rel=0.25)
    assert set(SIZES) == set(PRESETS)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("adaptive", [True, False])
def test_segments_one_after_the_other_are_the_network(length: int, adaptive: bool) -> None:
    network, spectra = random_model("tiny", length, adaptive=adaptive), random_spectra(4, length)
    with torch.no_grad():
        outputs = network(spectra)
    features = spectra.transpose(1, 2)
    for index in range(network.n_exits):
        logits, following, depth = network.run_segment(index, features)
        torch.testing.assert_close(logits, outputs.logits[index])
        if index:
            assert depth is not None
            assert torch.equal(depth, outputs.depths[index - 1])
        features = features if following is None else following


def test_another_length_is_refused_with_both_numbers() -> None:
    with pytest.raises(ModelError, match="got 99 points, expected 128"):
        create_model("nano", n_points=128, n_classes=3)(torch.zeros(1, 1, 99))


def test_unknown_presets_blocks_and_heads_are_named() -> None:
    with pytest.raises(ModelError, match="unknown preset 'huge'; known: nano, tiny, peaks, small, base"):
        create_model("huge", n_points=128, n_classes=3)
    with pytest.raises(ModelError, match="unknown block 'attention'; known: depthwise"):
        create_model("nano", n_points=128, n_classes=3, block="attention")
    with pytest.raises(ModelError, match="unknown exit head 'average'; known: binned"):
        create_model("nano", n_points=128, n_classes=3, head="average")


def _small() -> NetworkConfig:
    return NetworkConfig(
        n_points=16,
        n_classes=3,
        stem_channels=2,
        widths=(4,),
        units=(1,),
        stem_kernel=3,
        kernel=3,
        expansion=2,
        head_bins=2,
        head_channels=3,
        linear_bin=4,
    )


def test_macs_of_a_small_network_counted_by_hand() -> None:
    network = SpecNet(_small())
    # exit 0: 4 bins of 4 points, 3 x 4 weights
    exit0 = 4 * 4 + 3 * 4
    stem = 8 * (2 * 1 * 3)  # 8 positions, 2 filters of 3 taps
    merge = 4 * (4 * 2 * 2)  # 4 positions, 4 filters of 2 taps over 2 channels
    score = 4 * 4 * 1  # 4 positions, 4 channels, one unit
    head = 2 * 4 * 3 + (2 * 3) * 3  # 2 bins: 4 -> 3 channels; 6 -> 3 classes
    unit = 3 * 4 + 4 * 8 + 8 * 4  # 3 taps of 4 channels, 4 -> 8 -> 4
    assert network.fixed_macs() == [exit0, stem + merge + score + head]
    assert network.unit_macs() == [unit]
    assert network.static_macs() == 502 == exit0 + stem + merge + score + head + 4 * unit


@pytest.mark.parametrize("adaptive", [True, False])
@pytest.mark.parametrize("name", sorted(PRESETS))
def test_static_macs_are_what_the_layers_of_the_network_multiply(name: str, adaptive: bool) -> None:
    network = random_model(name, 333, adaptive=adaptive)
    counted = 0

    def count(module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal counted
        assert isinstance(module, (nn.Conv2d, nn.Linear))
        counted += module.weight.numel() * (output.shape[-1] if isinstance(module, nn.Conv2d) else 1)

    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.register_forward_hook(count)
    with torch.no_grad():
        network(random_spectra(1, 333), DENSE)
    score = sum(
        stage.halting.macs(positions)
        for k, positions in enumerate(network.config.positions, start=1)
        if (stage := network.stage(k)).halting is not None
    )
    # a dense pass does not ask the halting scores, which the cost of an adaptive network includes
    assert network.static_macs() == counted + score + network.exit0.macs


def test_short_axes_drop_stages_instead_of_failing() -> None:
    assert preset("base", 1000, 3).n_stages == 4
    assert preset("base", 40, 3).n_stages == 3
    assert preset("base", 8, 3).positions == (4,)
    assert preset("small", 299, 3).stem_stride == 1
    assert preset("small", 300, 3).stem_stride == 2
    assert preset("small", 1000, 3).linear_bin == 4
    assert preset("small", 100, 3).linear_bin == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"widths": (8, 8), "units": (1,)}, "every stage has a width and a number of units"),
        ({"widths": (), "units": ()}, "every stage has a width"),
        ({"widths": (0,), "units": (1,)}, "widths are positive"),
        ({"units": (-1,)}, "units not negative"),
        ({"kernel": 4}, "kernels are odd, got 4 and 3"),
        ({"stem_kernel": 2}, "kernels are odd, got 3 and 2"),
        ({"n_classes": 1}, "at least two classes, got 1"),
        ({"n_points": 4}, "4 points are too few for 1 stages"),
        ({"n_points": 10**9}, "points"),
        ({"n_classes": 10**9}, "classes"),
        ({"widths": (10**9,)}, "widths"),
        ({"units": (10**9,)}, "units"),
        ({"stem_stride": 0}, "stem_stride is 0"),
        ({"stem_channels": 0}, "stem_channels is 0"),
        ({"linear_bin": 0}, "linear_bin is 0"),
        ({"linear_bin": 17}, "linear_bin is 17"),
        ({"expansion": 0}, "expansion is 0"),
        ({"head_bins": 0}, "head_bins is 0"),
        ({"head_channels": 0}, "head_channels is 0"),
        ({"dropout": 1.5}, "dropout is 1.5"),
        ({"kernel": -1}, "kernel is -1"),
        ({"additive": "yes"}, "additive is 'yes'"),
        ({"tap_share": 2.0}, "tap_share is 2.0"),
    ],
)
def test_impossible_networks_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        NetworkConfig.from_dict({**_small().to_dict(), **changes})


def test_configurations_from_before_there_were_adaptivities_load() -> None:
    old = preset("tiny", 500, 4).to_dict()
    for name in ("adaptivity", "tap", "tap_share", "additive"):
        del old[name]
    assert NetworkConfig.from_dict({**old, "adaptive": True}) == preset("tiny", 500, 4) == NetworkConfig.from_dict(old)
    assert NetworkConfig.from_dict({**old, "adaptive": False}) == preset("tiny", 500, 4, adaptivity="none")
    assert [preset("tiny", 500, 4, adaptive=adaptive).adaptive for adaptive in (True, False)] == [True, False]
    with pytest.raises(ModelError, match=r"unknown fields of a network \['adaptive'\]"):
        NetworkConfig.from_dict({**preset("tiny", 500, 4).to_dict(), "adaptive": True})


def test_a_configuration_survives_json_and_refuses_foreign_fields() -> None:
    config = preset("tiny", 500, 4)
    assert NetworkConfig.from_dict({**config.to_dict(), "widths": list(config.widths)}) == config
    with pytest.raises(ModelError, match=r"unknown fields of a network \['layers'\]"):
        NetworkConfig.from_dict({**config.to_dict(), "layers": 3})
    with pytest.raises(ModelError, match="incomplete"):
        NetworkConfig.from_dict({"n_points": 100})
    for field in ("n_points", "widths", "dropout", "kernel"):
        with pytest.raises(ModelError):
            NetworkConfig.from_dict({**config.to_dict(), field: "many"})
