"""Training a supernet: each step trains one shape of the space, drawn uniformly.

Legend: n spectra, L points.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from specnet.errors import ConfigurationError
from specnet.nn import HARD, ExitOutputs, Gating, NetworkConfig, SpecNet, SuperNet
from specnet.nn.statistics import estimate_statistics
from specnet.training.linear import write_linear_exit
from specnet.training.loop import Report, train_network
from specnet.tuning.architecture.judging import Task, build
from specnet.tuning.architecture.space import Architecture, SearchSpace

NORM_SPECTRA = 512
"""Training spectra that batch-norm statistics of a shape are estimated on."""


@dataclass(frozen=True)
class Shapes:
    """Networks of a space on the axis and with the classes of a task.

    Parameters
    ----------
    space
        What may be chosen.
    base
        Gives what all networks have in common.
    """

    space: SearchSpace
    base: NetworkConfig

    @classmethod
    def of(cls, task: Task, space: SearchSpace) -> Shapes:
        """Find what all networks of a task have in common.

        Raises
        ------
        ConfigurationError
            When the axis is too short for the most stages of the space.
        """
        deepest = _widest(space, space.blocks[0], space.head_bins[0])
        base = build(task, deepest).config
        if base.n_stages < deepest.n_stages:
            raise ConfigurationError(
                f"the space has up to {deepest.n_stages} stages, {task.n_points} points suffice for {base.n_stages}"
            )
        return cls(space, base)

    def config(self, architecture: Architecture) -> NetworkConfig:
        """Give the configuration of a shape's network."""
        return replace(self.base, **architecture.training_options, open_units=(), dropped_units=())

    @property
    def widest(self) -> list[NetworkConfig]:
        """The widest network for every block and number of bins."""
        choices = [(block, bins) for block in self.space.blocks for bins in self.space.head_bins]
        return [self.config(_widest(self.space, block, bins)) for block, bins in choices]


class SinglePathNet(SuperNet):
    """A supernet that draws another path for every pass in training mode (Guo et al. 2020, arXiv 1904.00420).

    The draw follows from a seed and the number of passes so far, which is kept with the weights: a training that was
    interrupted goes on with the paths that it would have had.

    Parameters
    ----------
    shapes
        What is drawn from, uniformly as `SearchSpace.sample` does.
    seed
        Of the draws.
    """

    passes: Tensor

    def __init__(self, shapes: Shapes, seed: int) -> None:
        super().__init__(shapes.widest)
        self.shapes, self.seed = shapes, seed
        self.register_buffer("passes", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Float[Tensor, "batch 1 points"], gating: Gating = HARD) -> ExitOutputs:
        """All exits of the path: in training of a new one, else of the one that was chosen."""
        if self.training:
            rng = np.random.default_rng((self.seed, int(self.passes)))
            self.set_path(self.shapes.config(self.shapes.space.sample(rng)))
            self.passes += 1
        return super().forward(x, gating)


def build_supernet(task: Task, space: SearchSpace) -> SinglePathNet:
    """Untrained supernet of a task, its exit 0 fitted; the same each time. Errors as for `Shapes.of`."""
    shapes = Shapes.of(task, space)
    torch.manual_seed(task.config.seed)
    supernet = SinglePathNet(shapes, task.config.seed)
    write_linear_exit(supernet.exit0, task.linear.scores)
    return supernet


def train_supernet(
    supernet: SinglePathNet,
    task: Task,
    epochs: int,
    *,
    checkpoint: Path | None = None,
    identity: dict[str, Any] | None = None,
    report: Report = lambda epoch, values: None,
) -> None:
    """Train the supernet in place with the task's recipe: losses, optimiser and schedule as for one network.

    Parameters
    ----------
    supernet, task
        What is trained, and on what.
    epochs
        Number of epochs.
    checkpoint, identity, report
        See `specnet.training.loop.train_network`. The checkpoint of a finished training is all that a search needs.

    Raises
    ------
    ModelError
        When the loss is not finite, or the checkpoint is another training's.
    """
    train_network(
        supernet,
        task.training,
        replace(task.config, epochs=epochs),
        offsets=task.offsets,
        checkpoint=checkpoint,
        identity=identity,
        report=report,
    )


def norm_spectra(task: Task) -> Float[Tensor, "n points"]:
    """At most `NORM_SPECTRA` training spectra in random order, not augmented."""
    n = len(task.training)
    rows = np.random.default_rng(task.config.seed).permutation(n)[:NORM_SPECTRA]
    return torch.stack([task.training[int(row)][0] for row in rows])


def cut_out(supernet: SinglePathNet, architecture: Architecture, spectra: Float[Tensor, "n points"]) -> SpecNet:
    """Give a shape as a network of its own, with batch-norm statistics of these spectra."""
    supernet.set_path(supernet.shapes.config(architecture))
    network = supernet.extract()
    estimate_statistics(network, spectra)
    return network


def _widest(space: SearchSpace, block: str, head_bins: int) -> Architecture:
    return Architecture(
        widths=tuple(max(choices) for choices in space.widths),
        units=(max(space.units),) * len(space.widths),
        block=block,
        stem_channels=max(space.stem_channels),
        head_bins=head_bins,
        head_channels=max(space.head_channels),
    )
