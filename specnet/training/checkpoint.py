"""Checkpoints: weights and optimiser state as safetensors with JSON metadata, written whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from specnet.errors import ModelError
from specnet.files import write_bytes

MAX_CHECKPOINT_BYTES = 4 << 30


class Companion(Protocol):
    """What learns or is kept beside the network, and must be there again when a training goes on."""

    name: str

    def state_dict(self) -> dict[str, Tensor]:
        """All of it; empty when there is nothing to keep."""

    def load_state_dict(self, tensors: dict[str, Tensor], network: nn.Module) -> None:
        """Inverse of `state_dict`, for a network that has its own weights already."""


@dataclass
class Progress:
    """How far a training is: finished epochs and what each of them reported."""

    epoch: int = 0
    history: list[dict[str, float]] = field(default_factory=list)


def save_checkpoint(
    path: Path,
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    progress: Progress,
    identity: dict[str, Any],
    companions: Sequence[Companion] = (),
) -> None:
    """Write network, optimiser, progress and companions; `identity` says which training this is."""
    tensors = {f"model.{name}": tensor.contiguous() for name, tensor in network.state_dict().items()}
    for index, state in optimiser.state_dict()["state"].items():
        for name, value in state.items():
            tensors[f"optimiser.{index}.{name}"] = torch.as_tensor(value).contiguous()
    for companion in companions:
        tensors |= {f"{companion.name}.{name}": t.contiguous() for name, t in companion.state_dict().items()}
    metadata = {"epoch": str(progress.epoch), "history": json.dumps(progress.history), "identity": json.dumps(identity)}
    write_bytes(path, save(tensors, metadata=metadata))


def check_checkpoint(path: Path, identity: dict[str, Any]) -> None:
    """Refuse a checkpoint that cannot be continued, before hours are spent on preparing it.

    Raises
    ------
    ModelError
        When the file is damaged, or belongs to a training with another recipe or other data.
    """
    _read(path, identity, with_tensors=False)


def load_checkpoint(
    path: Path,
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    identity: dict[str, Any],
    companions: Sequence[Companion] = (),
) -> Progress:
    """Continue from a checkpoint.

    Raises
    ------
    ModelError
        When the file is damaged, or belongs to a training with another recipe or other data.
    """
    progress, tensors = _read(path, identity, with_tensors=True)
    network.load_state_dict({n.removeprefix("model."): t for n, t in tensors.items() if n.startswith("model.")})
    for companion in companions:
        prefix = f"{companion.name}."
        if kept := {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}:
            companion.load_state_dict(kept, network)
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        if key.startswith("optimiser."):
            _, index, name = key.split(".", 2)
            state.setdefault(int(index), {})[name] = tensor
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    return progress


def _read(path: Path, identity: dict[str, Any], *, with_tensors: bool) -> tuple[Progress, dict[str, Tensor]]:
    if path.stat().st_size > MAX_CHECKPOINT_BYTES:
        raise ModelError(f"checkpoint {path} has {path.stat().st_size} bytes, at most {MAX_CHECKPOINT_BYTES} are read")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            names = list(file.keys()) if with_tensors else []
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in names}
        found = json.loads(metadata["identity"])
        progress = Progress(int(metadata["epoch"]), json.loads(metadata["history"]))
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise ModelError(f"checkpoint {path} cannot be read: {error}") from error
    if different := {k: (found.get(k), v) for k, v in identity.items() if found.get(k) != v}:
        name, (then, now) = next(iter(different.items()))
        raise ModelError(f"checkpoint {path} belongs to another training: {name} was {then}, is now {now}")
    return progress, tensors
