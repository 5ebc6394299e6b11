"""The network that a recipe asks for, ready to be trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save

from specnet.errors import ModelError
from specnet.files import read_bounded, write_bytes
from specnet.nn import SpecNet, create_model
from specnet.nn.coded import with_bottleneck
from specnet.nn.config import PRESETS
from specnet.nn.protocol import ExitNetwork
from specnet.nn.splitting import check_bottleneck
from specnet.training.backbones import backbone_path
from specnet.training.bottleneck_recipe import BottleneckRecipe
from specnet.training.config import TrainConfig
from specnet.training.linear import LinearChoice, write_linear_exit

MAX_BACKBONE_BYTES = 256 << 20
BACKBONE = ("stem", "stages")
"""Beginnings of the names of weights that do not depend on axis and classes."""


def build_network(config: TrainConfig, n_points: int, n_classes: int, linear: LinearChoice) -> ExitNetwork:
    """Build the network of a recipe, with its exit 0 fitted and its backbone pretrained where there is one.

    Parameters
    ----------
    config
        The recipe.
    n_points, n_classes
        Points of a preprocessed spectrum, and classes.
    linear
        What exit 0 shall be; networks without an exit 0 do without.

    Raises
    ------
    ModelError
        Unknown parts, or a backbone of another network.
    """
    options: dict[str, Any] = {}
    if config.preset in PRESETS:
        options = {**config.network_options, "linear_bin": linear.bin}
    network = create_model(config.preset, n_points=n_points, n_classes=n_classes, **options)
    if network.exit0 is not None:
        write_linear_exit(network.exit0, linear.scores)
    if isinstance(network, SpecNet) and network.config.additive:
        network.start_from_exit0()
    if config.pretrained:
        load_backbone(network, backbone_path(config))
    if config.bottleneck:
        recipe = BottleneckRecipe(config.bottleneck, config.bottleneck_price)
        if not isinstance(network, SpecNet):
            raise ModelError(f"preset {config.preset!r} has no split points, so no bottleneck can be trained with it")
        check_bottleneck(network, config.bottleneck)
        return with_bottleneck(network, config.bottleneck, recipe.shape(network))
    return network


def save_backbone(network: ExitNetwork, path: Path | str, metadata: dict[str, str]) -> Path:
    """Write stem and stages of a network as safetensors: what can be trained further on another axis and classes."""
    tensors = {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in network.state_dict().items()
        if name.startswith(BACKBONE)
    }
    return write_bytes(path, save(tensors, metadata=metadata))


def load_backbone(network: ExitNetwork, path: Path) -> None:
    """Take stem and stages from a file that `save_backbone` wrote; heads, exit 0 and halting scores stay fresh.

    Raises
    ------
    ModelError
        When the file is missing, too large, damaged, or of a network with other layers.
    """
    try:
        tensors = load(read_bounded(path, MAX_BACKBONE_BYTES, "backbone", ModelError))
    except SafetensorError as error:
        raise ModelError(f"backbone {path} is damaged or no safetensors: {error}") from error
    own = network.state_dict()
    wanted = {name: tensor for name, tensor in own.items() if name.startswith(BACKBONE) and ".halting." not in name}
    for name, tensor in wanted.items():
        found = tensors.get(name)
        if found is None or found.shape != tensor.shape:
            shape = "nothing" if found is None else f"shape {tuple(found.shape)}"
            raise ModelError(
                f"backbone {path} has {shape} for {name}, this network {tuple(tensor.shape)}: "
                "a backbone fits the preset, block and stem that it was trained with"
            )
    network.load_state_dict({**own, **{name: tensors[name] for name in wanted}})
