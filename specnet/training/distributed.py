"""Training on several processes (``torchrun``) that computes what one process with the same batches would.

Every process sees each *global* batch, in the same order and with the same augmentation, and runs the network on its
own rows of it. What looks at a batch as a whole is done for the batch of all processes:

* normalisation and random draws inside the network, see `specnet.training.whole_batch`;
* losses, because the outputs of all rows are gathered first. A loss may then be anything: a hinge on a mean is not the
  mean of hinges, which averaging gradients over processes (as `DistributedDataParallel` does) would make of it;
* gradients, which are summed. All processes take the same step; nothing else is exchanged.

Spectra are small beside the features that come of them, so that every process reads all of them costs little, and no
loss and no augmentation has to know of processes.

Legend: B rows of the global batch.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

from specnet.errors import ConfigurationError
from specnet.nn.protocol import ExitNetwork
from specnet.training.whole_batch import WholeBatch

DEVICES = ("auto", "cpu", "cuda")
AMP = ("auto", "on", "off")
CPU = torch.device("cpu")
PATIENCE = timedelta(hours=1)
"""How long a process waits for the others: the first one may be fitting something that the others do not."""
T = TypeVar("T")


@dataclass(frozen=True)
class Processes:
    """The processes of a training, seen from one of them.

    Parameters
    ----------
    rank
        Number of this process; 0 is the one that writes and reports.
    world
        Number of processes.
    device
        Where this process computes.
    amp
        Automatic mixed precision (bfloat16): ``"on"``, ``"off"``, or ``"auto"``, which is on for CUDA only, because
        small networks gain nothing from it on a CPU.

    Raises
    ------
    ConfigurationError
        For numbers out of range, or another word for `amp`.
    """

    rank: int = 0
    world: int = 1
    device: torch.device = CPU
    amp: str = "auto"

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.world:
            raise ConfigurationError(f"rank is {self.rank} of {self.world} processes, expected 0 <= rank < processes")
        if self.amp not in AMP:
            raise ConfigurationError(f"amp is {', '.join(AMP)}; got {self.amp!r}")

    @property
    def is_main(self) -> bool:
        """Whether this process writes and reports."""
        return self.rank == 0

    def rows(self, batch: int) -> slice:
        """Find the rows of a global batch that are this process's: blocks in the order of ranks, alike in size.

        Raises
        ------
        ConfigurationError
            When there are fewer rows than processes.
        """
        if batch < self.world:
            raise ConfigurationError(f"a batch of {batch} spectra cannot be shared by {self.world} processes")
        return slice(self.rank * batch // self.world, (self.rank + 1) * batch // self.world)

    @contextmanager
    def forward(self, batch: int) -> Iterator[None]:
        """Run the network in this, on one's own rows of a global batch of this size."""
        enabled = self.amp == "on" or (self.amp == "auto" and self.device.type == "cuda")
        shared = nullcontext() if self.world == 1 else WholeBatch(self.rows(batch), batch)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=enabled), shared:
            yield

    def gather(self, outputs: T, batch: int) -> T:
        """Complete the outputs of one's own rows to those of all rows.

        They are tensors ``(rows, ...)`` in dataclasses, lists and dictionaries. Gradients flow to one's own rows;
        together with `sum_gradients` they are those of one process, as long as every parameter is used before the
        outputs are gathered and none behind. What was computed in half precision comes back in single, in which losses
        are computed.
        """
        sizes = self._sizes(batch)

        def complete(tensor: Tensor) -> Tensor:
            exact = tensor.float() if tensor.dtype is torch.bfloat16 else tensor
            return exact if self.world == 1 else _gather_rows(exact, sizes, self.rank)

        result: T = _map(outputs, complete)
        return result

    def sum_gradients(self, network: ExitNetwork) -> None:
        """Add up the gradients of all processes, in place."""
        gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
        if self.world == 1 or not gradients:
            return
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(flat)
        start = 0
        for gradient in gradients:
            gradient.copy_(flat[start : start + gradient.numel()].view_as(gradient))
            start += gradient.numel()

    def copy_from_main(self, network: ExitNetwork) -> None:
        """Give all processes the parameters and buffers of the first."""
        if self.world > 1:
            for tensor in network.state_dict().values():
                same = tensor.contiguous()
                distributed.broadcast(same, src=0)
                tensor.copy_(same)

    def wait(self) -> None:
        """Go on when all processes are here."""
        if self.world > 1:
            distributed.barrier()

    def _sizes(self, batch: int) -> list[int]:
        blocks = (replace(self, rank=rank).rows(batch) for rank in range(self.world))
        return [block.stop - block.start for block in blocks]


ALONE = Processes()
_current: ContextVar[Processes] = ContextVar("processes", default=ALONE)


def current_processes() -> Processes:
    """Find the `process_group` that this code runs in; outside of one, this process is alone on the CPU."""
    return _current.get()


@contextmanager
def process_group(device: str = "cpu", amp: str = "auto") -> Iterator[Processes]:
    """Join the processes that ``torchrun`` started; without it this process is alone.

    Parameters
    ----------
    device
        ``"cpu"`` (gloo), ``"cuda"`` (nccl, one device a process), or ``"auto"`` for CUDA where there is one.
    amp
        See `Processes`.

    Raises
    ------
    ConfigurationError
        When torchrun's environment variables are damaged, or there is no such device.
    """
    rank, world, local = _number("RANK", 0), _number("WORLD_SIZE", 1), _number("LOCAL_RANK", 0)
    processes = Processes(rank, world, choose_device(device, local), amp)
    if world > 1:
        distributed.init_process_group("nccl" if processes.device.type == "cuda" else "gloo", timeout=PATIENCE)
    token = _current.set(processes)
    try:
        yield processes
    finally:
        _current.reset(token)
        if world > 1:
            distributed.destroy_process_group()


def choose_device(name: str, local_rank: int = 0) -> torch.device:
    """Find the device of a name of `DEVICES`.

    Raises
    ------
    ConfigurationError
        For an unknown name, or CUDA where there is no such device.
    """
    if name not in DEVICES:
        raise ConfigurationError(f"unknown device {name!r}; known: {', '.join(DEVICES)}")
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if local_rank >= torch.cuda.device_count():
        raise ConfigurationError(f"process {local_rank} has no CUDA device; there are {torch.cuda.device_count()}")
    # deterministic matrix products on CUDA need a workspace of fixed size, chosen before the first of them
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.cuda.set_device(local_rank)
    return torch.device("cuda", local_rank)


class _GatherRows(torch.autograd.Function):
    """Rows of all processes; the gradient of one's own comes back, since all compute the same loss."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, sizes: list[int], rank: int) -> Tensor:
        ctx.rows = slice(sum(sizes[:rank]), sum(sizes[: rank + 1]))
        # gloo gathers tensors of one shape only
        padded = tensor.new_zeros((max(sizes), *tensor.shape[1:]))
        padded[: sizes[rank]] = tensor
        parts = [torch.empty_like(padded) for _ in sizes]
        distributed.all_gather(parts, padded)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return gradients[0][ctx.rows].contiguous(), None, None


def _gather_rows(tensor: Tensor, sizes: list[int], rank: int) -> Tensor:
    gathered: Tensor = _GatherRows.apply(tensor, sizes, rank)  # type: ignore[no-untyped-call]
    return gathered


def _map(value: Any, change: Any) -> Any:
    """Change all tensors of a nested value; what is neither tensor nor container stays."""
    if isinstance(value, Tensor):
        return change(value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: _map(getattr(value, f.name), change) for f in fields(value)})
    if isinstance(value, list | tuple):
        return type(value)(_map(item, change) for item in value)
    if isinstance(value, dict):
        return {key: _map(item, change) for key, item in value.items()}
    return value


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    if not text.isdecimal():
        raise ConfigurationError(f"environment variable {name} is {text[:40]!r}, expected a number")
    return int(text)
