"""What is trained when: a training is a list of phases, and lists have names.

Joint training of all exits is the reference. *Mixed* training (Kubaty et al. 2025, "How to train your multi-exit
model") lets the backbone settle under its last exit first. *Heads* freezes the backbone after that, as Zero Time Waste
does (Wolczyk et al. 2021). *Stagewise* trains one stage with its head after the other, as QuickNets do (arXiv
2212.12866).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
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
    stage
        1..K: only this stage and its head are trained, the stem with the first one, and only its exit has a loss; what
        lies before is frozen, its batch norms included. 0 for all.
    each_stage
        The phase stands for one such phase a stage.
    """

    name: str
    share: float
    last_exit_only: bool = False
    heads_only: bool = False
    gated: bool = True
    stage: int = 0
    each_stage: bool = False


PHASES: dict[str, tuple[Phase, ...]] = {
    "joint": (Phase("joint", 1.0),),
    "mixed": (Phase("last exit", 0.5, last_exit_only=True, gated=False), Phase("joint", 0.5)),
    "heads": (Phase("last exit", 0.7, last_exit_only=True), Phase("heads", 0.3, heads_only=True, gated=False)),
    "last_exit": (Phase("last exit", 1.0, last_exit_only=True),),
    "stagewise": (Phase("stage", 1.0, gated=False, each_stage=True),),
}


def create_phases(name: str, n_stages: int) -> tuple[Phase, ...]:
    """Find a list of phases by name, for a network of so many stages; `ConfigurationError` for an unknown one."""
    if name not in PHASES:
        raise ConfigurationError(f"unknown phases {name!r}; known: {', '.join(PHASES)}")
    found: list[Phase] = []
    for phase in PHASES[name]:
        stages = range(1, n_stages + 1) if phase.each_stage else ()
        single = replace(phase, share=phase.share / n_stages, each_stage=False)
        found += [replace(single, name=f"{phase.name} {k}", stage=k) for k in stages] or [phase]
    return tuple(found)


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
        parameter.requires_grad_(_is_trained(name, phase))
    if phase.heads_only or phase.stage:
        for name, module in network.named_modules():
            if name:
                module.train(_is_trained(f"{name}.", phase))


def _is_trained(name: str, phase: Phase) -> bool:
    if phase.stage:
        own = name.startswith((f"stages.{phase.stage - 1}.", f"heads.{phase.stage - 1}."))
        return own or (phase.stage == 1 and not name.startswith(("stages.", "heads.")))
    return not phase.heads_only or name.startswith("heads.")
