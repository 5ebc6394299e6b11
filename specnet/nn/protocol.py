"""What training, evaluation and benchmarks need of a network, whichever kind it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol, Self

import torch
from torch import Tensor
from torch.nn import Parameter

from specnet.nn.heads import LinearExit
from specnet.nn.network import HARD, ExitOutputs, Gating


class Architecture(Protocol):
    """A network's configuration: enough to build it again."""

    @property
    def n_points(self) -> int:
        """Length of a spectrum."""

    @property
    def n_classes(self) -> int:
        """Number of classes."""

    def to_dict(self) -> dict[str, Any]:
        """Plain form for JSON, which `specnet.nn.load_weights` takes."""


class ExitNetwork(Protocol):
    """A torch module with E >= 1 exits that are obtained one after the other.

    Segment k is what lies between the exits k - 1 and k, the classifier of exit k included. Networks with
    position-adaptive stages have one entry a stage in `unit_macs`, `ExitOutputs.depths` and `ExitOutputs.gates`, the
    stage k belonging to segment k; for others all three are empty.
    """

    @property
    def config(self) -> Architecture:
        """What was built."""

    @property
    def exit0(self) -> LinearExit | None:
        """The linear exit that is fitted apart, where the network has one; it then is the first exit."""

    @property
    def n_exits(self) -> int:
        """Number of exits E, the linear one included."""

    def __call__(self, x: Tensor, gating: Gating = HARD) -> ExitOutputs:
        """All exits of preprocessed spectra ``(B, 1, L)``."""

    def fixed_macs(self) -> list[int]:
        """MACs of each segment that every spectrum costs."""

    def unit_macs(self) -> list[int]:
        """MACs of one residual unit at one position, for each position-adaptive stage."""

    def static_macs(self) -> int:
        """MACs of the full network up to its last exit, every position and every exit."""

    @property
    def training(self) -> bool:
        """Whether the module is in training mode."""

    def train(self, mode: bool = True) -> Self:
        """Set training mode."""

    def eval(self) -> Self:
        """Set evaluation mode."""

    def to(self, device: torch.device) -> Self:
        """Move to a device."""

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """All parameters that gradients train."""

    def state_dict(self) -> dict[str, Any]:
        """Weights and buffers."""

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Take weights and buffers."""
