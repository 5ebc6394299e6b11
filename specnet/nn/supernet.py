"""One set of weights that holds networks of many shapes: stages and units are prefixes, layers are slices.

A path is run by the very `SpecNet` that it stands for, whose weights are slices of those of the widest network; so no
second arithmetic could differ from the first. Widths are the first channels, as in slimmable networks (Yu et
al. 2019) and Once-for-All (Cai et al. 2020); each kind of block has units of its own, as in Single Path One-Shot (Guo
et al. 2020, arXiv 1904.00420); and a head has a classifier of its own for every number of bins, whose weights mean
other places of the axis.

Legend: B batch, L points.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from specnet.errors import ModelError
from specnet.nn.blocks import Block
from specnet.nn.config import NO_RELAY, RESIDUAL_STAGE, NetworkConfig
from specnet.nn.halting import NONE
from specnet.nn.heads import ExitHead, LinearExit
from specnet.nn.network import HARD, ExitOutputs, Gating, SpecNet

SLICED = ("widths", "units", "stem_channels", "head_channels")
"""What of a network is a slice of the widest one; block and number of bins choose among weights, the rest is fixed."""


class SuperNet(nn.Module):
    """Weights of all networks that are within the given ones, one of which, the path, is run at a time.

    It is an `ExitNetwork`: everything that it says of exits and costs is the path's. All networks are static: every
    position runs at full depth.

    Parameters
    ----------
    widest
        Most stages, units and channels for every block and number of bins that a path may have; otherwise equal, and
        of adaptivity "none". The first one is the first path.

    Raises
    ------
    ModelError
        When the widest networks differ in anything else, or are adaptive.
    """

    def __init__(self, widest: Sequence[NetworkConfig]) -> None:
        super().__init__()
        self._widest = {(config.block, config.head_bins): config for config in widest}
        if not widest:
            raise ModelError("a supernet needs at least one widest network, got none")
        for config in widest:
            if replace(config, block=widest[0].block, head_bins=widest[0].head_bins) != widest[0]:
                raise ModelError(f"widest networks differ in block and head_bins only, got {widest[0]} and {config}")
            if (config.stage, config.relay) != (RESIDUAL_STAGE, NO_RELAY):
                raise ModelError(
                    "networks of a supernet have residual stages and no relay, "
                    f"got {config.stage!r} and {config.relay!r}"
                )
            if config.adaptivity != NONE or any(config.open_units) or any(config.dropped_units):
                raise ModelError(f"networks of a supernet are static, expected adaptivity {NONE!r}, got {config}")
        self.exit0 = LinearExit(widest[0])
        self._groups: dict[tuple[str, int], dict[str, tuple[int, ...]]] = {}
        self._keys: dict[tuple[str, int], dict[str, str]] = {}
        for choice, config in self._widest.items():
            network = SpecNet(config)
            if config.additive:
                network.start_from_exit0()
            self._groups[choice] = dict(_joined_inputs(network))
            self._keys[choice] = {name: self._keep(name, tensor, config) for name, tensor in _tensors(network)}
        self.set_path(widest[0])

    def _keep(self, name: str, tensor: Tensor, config: NetworkConfig) -> str:
        """Take a tensor of a widest network, unless it has been taken from another one; give its key."""
        key = name.replace(".", "/")
        if "/units/" in key:
            key = f"{key}/{config.block}"
        elif key.startswith("heads/"):
            key = f"{key}/{'x'.join(map(str, tensor.shape))}"
        if hasattr(self, key):
            return key
        if isinstance(tensor, nn.Parameter):
            self.register_parameter(key, tensor)
        else:
            self.register_buffer(key, tensor)
        return key

    @property
    def config(self) -> NetworkConfig:
        """Configuration of the path."""
        return self._config

    def set_path(self, config: NetworkConfig) -> None:
        """Choose what is run from now on.

        Raises
        ------
        ModelError
            When the configuration is not within the widest one of its block and number of bins.
        """
        self._check(config)
        with torch.device("meta"):  # without memory, and without a draw from the generator of initial weights
            path = SpecNet(config)
        # in a tuple, because the weights of the path are no weights of their own
        self._config, self._path = config, (path,)

    def _check(self, config: NetworkConfig) -> None:
        choice, stages = (config.block, config.head_bins), config.n_stages
        if choice not in self._widest:
            known = ", ".join(f"{block} with {bins}" for block, bins in self._widest)
            raise ModelError(f"the supernet has no block {choice[0]!r} with {choice[1]} head bins; it has {known}")
        widest = self._widest[choice]
        if stages > widest.n_stages:
            raise ModelError(f"the path has {stages} stages, the supernet {widest.n_stages}")
        for name in SLICED:
            wanted, most = getattr(config, name), getattr(widest, name)
            within = wanted <= most if isinstance(wanted, int) else all(map(int.__le__, wanted, most))
            if not within:
                raise ModelError(f"the path has {name} {wanted}, the supernet at most {most}")
        static = not any(config.open_units) and not any(config.dropped_units)
        fitted = {name: getattr(widest, name) for name in SLICED}
        if not static or replace(config, **fitted, open_units=(), dropped_units=()) != widest:
            raise ModelError(
                f"the path is of another network than the supernet: got {config}, expected within {widest}"
            )

    def tensors(self) -> dict[str, Tensor]:
        """Weights and buffers of the path under their names in a `SpecNet`: slices with gradients, no copies."""
        (path,) = self._path
        choice = (self._config.block, self._config.head_bins)
        groups, keys = dict(_joined_inputs(path)), self._keys[choice]
        found = {f"exit0.{name}": tensor for name, tensor in self.exit0.named_buffers()}
        for name, like in _tensors(path):
            whole: Tensor = getattr(self, keys[name])
            found[name] = _slice(whole, like.shape, self._groups[choice].get(name, ()), groups.get(name, ()))
        return found

    def forward(self, x: Float[Tensor, "batch 1 points"], gating: Gating = HARD) -> ExitOutputs:
        """All exits of the path for preprocessed spectra."""
        (path,) = self._path
        path.train(self.training)
        outputs: ExitOutputs = functional_call(path, self.tensors(), (x, gating), strict=True)
        return outputs

    def extract(self) -> SpecNet:
        """Give the path as a network of its own, in evaluation mode; its weights are copies."""
        with torch.device("meta"):
            network = SpecNet(self._config)
        network.load_state_dict({name: tensor.detach().clone() for name, tensor in self.tensors().items()}, assign=True)
        network.requires_grad_(True)
        return network.to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload, no-any-return]

    @property
    def n_exits(self) -> int:
        """Number of exits E of the path, the linear one included."""
        return self._path[0].n_exits

    def fixed_macs(self) -> list[int]:
        """MACs of each segment of the path that every spectrum costs."""
        return self._path[0].fixed_macs()

    def unit_macs(self) -> list[int]:
        """MACs of one residual unit at one position, for each stage of the path."""
        return self._path[0].unit_macs()

    def static_macs(self) -> int:
        """MACs of the path up to its last exit."""
        return self._path[0].static_macs()


def _tensors(network: SpecNet) -> Iterator[tuple[str, Tensor]]:
    """Parameters and buffers by name, without the linear exit, which is fitted apart and is the same for all."""
    for name, tensor in network.state_dict(keep_vars=True).items():
        if not name.startswith("exit0."):
            yield name, tensor


def _joined_inputs(network: SpecNet) -> Iterator[tuple[str, tuple[int, ...]]]:
    for prefix, module in network.named_modules():
        if isinstance(module, Block | ExitHead):
            for name, groups in module.joined_inputs.items():
                yield f"{prefix}.{name}", groups


def _slice(whole: Tensor, shape: torch.Size, groups: tuple[int, ...], kept: tuple[int, ...]) -> Tensor:
    """First entries along every axis; where inputs are joined, the first of each group."""
    if groups:
        parts = [
            part.narrow(1, 0, size) for part, size in zip(torch.split(whole, list(groups), dim=1), kept, strict=True)
        ]
        whole = torch.cat(parts, dim=1)
    for axis, size in enumerate(shape):
        whole = whole.narrow(axis, 0, size)
    return whole
