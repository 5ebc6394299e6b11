"""What is trained when: a training is a list of phases, and lists have names.

Joint training of all exits is the reference. *Mixed* training (Kubaty et al. 2025, "How to train your multi-exit
model") lets the backbone settle under its last exit first. *Heads* freezes the backbone after that, as Zero Time Waste
does (Wolczyk et al. 2021).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from torch import nn

from specnet.errors import ConfigurationError


@dataclass(frozen=True)
class Phase:
    """One stretch of a training, with a learning-rate cycle of its own.

    Parameters
    ----------
    name
        For progress and history.
    share
        Of the epochs.
    last_exit_only
        Whether only the deepest exit has a loss.
    heads_only
        Whether everything but the exit heads is frozen, its batch norms included.
    gated
        Whether position-adaptive depth is learnt in it; otherwise every position runs at full depth, unless depth was
        learnt in a phase before.
    """

    name: str
    share: float
    last_exit_only: bool = False
    heads_only: bool = False
    gated: bool = True


PHASES: dict[str, tuple[Phase, ...]] = {
    "joint": (Phase("joint", 1.0),),
    "mixed": (Phase("last exit", 0.5, last_exit_only=True, gated=False), Phase("joint", 0.5)),
    "heads": (Phase("last exit", 0.7, last_exit_only=True), Phase("heads", 0.3, heads_only=True, gated=False)),
    "last_exit": (Phase("last exit", 1.0, last_exit_only=True),),
}


def create_phases(name: str) -> tuple[Phase, ...]:
    """Find a list of phases by name; `ConfigurationError` for an unknown one."""
    if name not in PHASES:
        raise ConfigurationError(f"unknown phases {name!r}; known: {', '.join(PHASES)}")
    return PHASES[name]


@dataclass(frozen=True)
class Stretch:
    """The epochs ``first .. end - 1`` of a phase."""

    phase: Phase
    first: int
    end: int

    def progress(self, epoch: int, fraction: float) -> float:
        """Progress 0..1 within the phase, `fraction` of an epoch into `epoch`."""
        return (epoch - self.first + fraction) / (self.end - self.first)


def stretches(phases: Sequence[Phase], epochs: int) -> list[Stretch]:
    """Divide epochs among phases, at least one each.

    Raises
    ------
    ConfigurationError
        When there are fewer epochs than phases.
    """
    if epochs < len(phases):
        raise ConfigurationError(f"{len(phases)} phases need at least as many epochs, got {epochs}")
    ends = [round(epochs * total) for total in accumulate(phase.share for phase in phases)]
    found, first = [], 0
    for index, (phase, end) in enumerate(zip(phases, ends, strict=True)):
        left = len(phases) - index - 1
        end = epochs if left == 0 else min(max(end, first + 1), epochs - left)
        found.append(Stretch(phase, first, end))
        first = end
    return found


def freeze(network: nn.Module, phase: Phase) -> None:
    """Let gradients reach what a phase trains, and put the network into training mode for it.

    Frozen batch norms keep their statistics; otherwise the backbone would still move under its heads.
    """
    network.train()
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(not phase.heads_only or name.startswith("heads"))
    if phase.heads_only:
        for name, module in network.named_children():
            if not name.startswith("heads"):
                module.eval()
