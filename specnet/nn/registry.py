"""Networks by name, and their weights as bytes."""

from __future__ import annotations

from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save

from specnet.errors import ModelError
from specnet.nn.config import PRESETS, NetworkConfig, preset
from specnet.nn.network import SpecNet


def list_models() -> list[str]:
    """Names that `create_model` knows."""
    return list(PRESETS)


def create_model(name: str, *, n_points: int, n_classes: int, **changes: Any) -> SpecNet:
    """Build a network from a preset.

    Parameters
    ----------
    name
        One of `list_models`.
    n_points, n_classes
        Length of a spectrum and number of classes.
    **changes
        Fields of `NetworkConfig` to change.

    Raises
    ------
    ModelError
        Unknown name or impossible configuration.

    Examples
    --------
    >>> create_model("nano", n_points=500, n_classes=5).n_exits
    4
    """
    return SpecNet(preset(name, n_points, n_classes, **changes))


def save_weights(network: SpecNet) -> bytes:
    """Weights and buffers as safetensors."""
    return save({name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()})


def load_weights(architecture: dict[str, Any], data: bytes) -> SpecNet:
    """Network in evaluation mode from its configuration and safetensors bytes.

    Raises
    ------
    ModelError
        When the weights do not fit the configuration.
    """
    network = SpecNet(NetworkConfig.from_dict(architecture))
    try:
        network.load_state_dict(load(data))
    except (SafetensorError, RuntimeError, ValueError) as error:
        raise ModelError(f"the weights do not fit the network: {error}") from error
    return network.eval()
