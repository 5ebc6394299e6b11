"""The dense network as a teacher of the one whose depth is restricted."""

from __future__ import annotations

import copy

import torch
from jaxtyping import Float
from torch import Tensor, nn

from specnet.nn import DENSE, ExitOutputs
from specnet.training.config import TrainConfig
from specnet.training.phases import Stretch
from specnet.training.schedule import DENSE_UNTIL


class Teacher:
    """A copy of the dense network, taken when its depth begins to be restricted; None until then.

    Only for recipes with the loss ``dense_distillation``.
    """

    name = "teacher"

    def __init__(self, config: TrainConfig) -> None:
        self.wanted = "dense_distillation" in config.losses and config.adaptive
        self.network: nn.Module | None = None

    def watch(self, network: nn.Module, stretch: Stretch, epoch: int) -> None:
        """Take the copy at the first epoch that begins with gates."""
        if self.wanted and self.network is None and stretch.phase.gated and stretch.progress(epoch, 0) >= DENSE_UNTIL:
            self.take(network)

    def take(self, network: nn.Module) -> None:
        """Copy the network as it is."""
        self.network = copy.deepcopy(network).eval()
        self.network.requires_grad_(False)

    def state_dict(self) -> dict[str, Tensor]:
        """Weights of the copy; empty until it was taken."""
        return {} if self.network is None else self.network.state_dict()

    def load_state_dict(self, tensors: dict[str, Tensor], network: nn.Module) -> None:
        """Take the copy again, as it was."""
        self.take(network)
        assert self.network is not None
        self.network.load_state_dict(tensors)

    def __call__(self, spectra: Float[Tensor, "batch 1 points"]) -> Float[Tensor, "batch classes"] | None:
        """Logits ``(B, C)`` of the copy's deepest exit, at full depth."""
        if self.network is None:
            return None
        with torch.no_grad():
            outputs: ExitOutputs = self.network(spectra, DENSE)
        return outputs.logits[-1]
