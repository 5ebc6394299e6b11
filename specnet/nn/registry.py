"""Networks by name, and their weights as bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save

from specnet.errors import ModelError
from specnet.nn.baseline_config import ARCHITECTURE, BaselineConfig
from specnet.nn.config import PRESETS, NetworkConfig, preset
from specnet.nn.ensemble1d import Ensemble1d, Ensemble1dConfig
from specnet.nn.msdnet1d import MSDNet1d, MSDNet1dConfig
from specnet.nn.network import SpecNet
from specnet.nn.protocol import ExitNetwork
from specnet.nn.resnet1d import ResNet1d, ResNet1dConfig

SPECNET = "specnet"
"""Kind of a configuration that names none: those written before there were others."""

_LOADERS: dict[str, Callable[[dict[str, Any]], ExitNetwork]] = {
    SPECNET: lambda plain: SpecNet(NetworkConfig.from_dict(plain)),
    ResNet1dConfig.kind: lambda plain: ResNet1d(ResNet1dConfig.from_dict(plain)),
    MSDNet1dConfig.kind: lambda plain: MSDNet1d(MSDNet1dConfig.from_dict(plain)),
    Ensemble1dConfig.kind: lambda plain: Ensemble1d(Ensemble1dConfig.from_dict(plain)),
}
_BASELINES: dict[str, type[BaselineConfig]] = {
    ResNet1dConfig.kind: ResNet1dConfig,
    MSDNet1dConfig.kind: MSDNet1dConfig,
    Ensemble1dConfig.kind: Ensemble1dConfig,
}


def list_models() -> list[str]:
    """Names that `create_model` knows: our presets, then the baseline networks."""
    return [*PRESETS, *_BASELINES]


def create_model(name: str, *, n_points: int, n_classes: int, **changes: Any) -> ExitNetwork:
    """Build a network by its name.

    Parameters
    ----------
    name
        One of `list_models`.
    n_points, n_classes
        Length of a spectrum and number of classes.
    **changes
        Fields of the configuration to change: of `NetworkConfig` for our presets, of `ResNet1dConfig`,
        `MSDNet1dConfig` or `Ensemble1dConfig` for the baselines.

    Returns
    -------
    ExitNetwork
        A `SpecNet` for our presets.

    Raises
    ------
    ModelError
        Unknown name or impossible configuration.

    Examples
    --------
    >>> create_model("nano", n_points=500, n_classes=5).n_exits
    4
    >>> create_model("resnet1d", n_points=500, n_classes=5, width=8).n_exits
    1
    """
    if name in PRESETS:
        return SpecNet(preset(name, n_points, n_classes, **changes))
    if name not in _BASELINES:
        raise ModelError(f"unknown preset {name!r}; known: {', '.join(list_models())}")
    return build({ARCHITECTURE: name, "n_points": n_points, "n_classes": n_classes, **changes})


def build(architecture: dict[str, Any]) -> ExitNetwork:
    """Network with untrained weights from its plain configuration, whichever kind it names.

    Raises
    ------
    ModelError
        Unknown kind, or an impossible configuration.
    """
    kind = architecture.get(ARCHITECTURE, SPECNET)
    if kind not in _LOADERS:
        raise ModelError(f"unknown architecture {kind!r}; known: {', '.join(_LOADERS)}")
    return _LOADERS[kind]({name: value for name, value in architecture.items() if name != ARCHITECTURE})


def save_weights(network: ExitNetwork) -> bytes:
    """Weights and buffers as safetensors."""
    return save({name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()})


def load_weights(architecture: dict[str, Any], data: bytes) -> ExitNetwork:
    """Network in evaluation mode from its configuration and safetensors bytes.

    Parameters
    ----------
    architecture
        What `to_dict` of a network's configuration gave; its kind chooses the class.
    data
        What `save_weights` gave.

    Raises
    ------
    ModelError
        When the weights do not fit the configuration.
    """
    network = build(architecture)
    try:
        network.load_state_dict(load(data))
    except (SafetensorError, RuntimeError, ValueError) as error:
        raise ModelError(f"the weights do not fit the network: {error}") from error
    return network.eval()
