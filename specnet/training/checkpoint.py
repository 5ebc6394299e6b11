"""Checkpoints: weights and optimiser state as safetensors with JSON metadata, written whole or not at all."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from specnet.errors import ModelError
from specnet.files import write_bytes
from specnet.training.teacher import Teacher

MAX_CHECKPOINT_BYTES = 4 << 30


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
    teacher: Teacher,
) -> None:
    """Write network, optimiser, progress and the teacher where there is one; `identity` says which training this is."""
    tensors = {f"model.{name}": tensor.contiguous() for name, tensor in network.state_dict().items()}
    for index, state in optimiser.state_dict()["state"].items():
        for name, value in state.items():
            tensors[f"optimiser.{index}.{name}"] = torch.as_tensor(value).contiguous()
    if teacher.network is not None:
        tensors |= {f"teacher.{name}": tensor.contiguous() for name, tensor in teacher.network.state_dict().items()}
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
    path: Path, network: nn.Module, optimiser: torch.optim.Optimizer, identity: dict[str, Any], teacher: Teacher
) -> Progress:
    """Continue from a checkpoint.

    Raises
    ------
    ModelError
        When the file is damaged, or belongs to a training with another recipe or other data.
    """
    progress, tensors = _read(path, identity, with_tensors=True)
    network.load_state_dict({n.removeprefix("model."): t for n, t in tensors.items() if n.startswith("model.")})
    taught = {n.removeprefix("teacher."): t for n, t in tensors.items() if n.startswith("teacher.")}
    if taught:
        teacher.take(network)
        assert teacher.network is not None
        teacher.network.load_state_dict(taught)
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
