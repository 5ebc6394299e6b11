"""How sure an exit is: what is compared with its threshold.

Legend: n spectra, C classes, S size of the running state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from specnet.exits.probabilities import Float32

MAX_COEFFICIENT = 1e3


class Score(Protocol):
    """How sure an exit is of its (combined) answer, 0 to 1.

    Some remember what exits before said; that small array ``(n, S)`` travels with the features.
    """

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Names of the fitted numbers of one exit, at most `MAX_COEFFICIENT` in size; empty for none."""

    def state_size(self, n_classes: int) -> int:
        """Length S of the running state of one spectrum."""

    def __call__(
        self, exit_index: int, p: Float32, state: Float32, parameters: tuple[float, ...] = ()
    ) -> tuple[Float32, Float32]:
        """Score ``(n,)`` and new state ``(n, S)`` from probabilities ``(n, C)`` and the state before (0 at exit 0)."""


def max_probability(p: Float32) -> Float32:
    """Probability ``(n,)`` of the most likely class."""
    return np.maximum.reduce(p, axis=-1)  # type: ignore[no-any-return]


def margin(p: Float32) -> Float32:
    """Difference ``(n,)`` between the two most likely classes."""
    top = np.partition(p, -2, axis=-1)
    return top[..., -1] - top[..., -2]


def negentropy(p: Float32) -> Float32:
    """One minus the entropy over its maximum log C (BranchyNet, Teerapittayanon et al. 2016), ``(n,)`` in 0..1."""
    entropy = -(p * np.log(np.maximum(p, 1e-12))).sum(axis=-1)
    return np.asarray(1.0 - entropy / np.log(p.shape[-1]), dtype=np.float32)


@dataclass(frozen=True)
class OwnProbabilities:
    """A score that depends on the present probabilities alone."""

    function: Callable[[Float32], Float32]

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Nothing to fit."""
        return ()

    def state_size(self, n_classes: int) -> int:
        """No state."""
        return 0

    def __call__(
        self, exit_index: int, p: Float32, state: Float32, parameters: tuple[float, ...] = ()
    ) -> tuple[Float32, Float32]:
        """Apply the function."""
        return self.function(p), state


class Patience:
    """How many exits in a row have named the same class (PABEE, Zhou et al. 2020): ``1 - 1/count``.

    0 where the class is new, 1/2 where two exits agree, 2/3 where three do. With few exits there are few different
    scores, so it suits networks with many. State: last class and count.
    """

    parameter_names: tuple[str, ...] = ()

    def state_size(self, n_classes: int) -> int:
        """Last class and count."""
        return 2

    def __call__(
        self, exit_index: int, p: Float32, state: Float32, parameters: tuple[float, ...] = ()
    ) -> tuple[Float32, Float32]:
        """Count on where the class is the one of the exit before."""
        label = p.argmax(axis=-1).astype(np.float32)
        agrees = (label == state[:, 0]) & (exit_index > 0)
        count = np.where(agrees, np.maximum(state[:, 1], 0) + 1, 1).astype(np.float32)
        return np.float32(1) - np.float32(1) / count, np.stack([label, count], axis=1)


def gate_features(exit_index: int, p: Float32, previous: Float32) -> Float32:
    """Look at a prediction as the gate does, ``(n, 5)``.

    Largest probability, margin, negentropy, whether the exit before named the same class (``previous (n,)``; 0 at exit
    0), and 1 for the bias.
    """
    agrees = (p.argmax(axis=-1) == previous) & (exit_index > 0)
    return np.stack(
        [max_probability(p), margin(p), negentropy(p), agrees.astype(np.float32), np.ones(len(p), np.float32)], axis=1
    )


class LearnedGate:
    """Probability that the answer is right, by a logistic regression an exit: a gate that knows its exit's blind spots.

    The commitment layer of QuickNets and the gate of JEI-DNN (Regol et al. 2024) reduced to statistics of the
    prediction, so that it can be fitted after training on few spectra. State: last class.
    """

    parameter_names: tuple[str, ...] = ("max_probability", "margin", "negentropy", "agreement", "bias")

    def state_size(self, n_classes: int) -> int:
        """Last class."""
        return 1

    def __call__(
        self, exit_index: int, p: Float32, state: Float32, parameters: tuple[float, ...] = ()
    ) -> tuple[Float32, Float32]:
        """Weigh the features of `gate_features`."""
        probability = _probability(gate_features(exit_index, p, state[:, 0]), parameters)
        return probability, p.argmax(axis=-1).astype(np.float32)[:, np.newaxis]


def schedule_features(p: Float32, past: Float32) -> Float32:
    """Look at a prediction as the schedule does, ``(n, 4)``.

    Largest probability, negentropy, the score of the exit before (``past (n,)``; 0 at exit 0), and 1 for the bias.
    """
    return np.stack([max_probability(p), negentropy(p), past, np.ones(len(p), np.float32)], axis=1)


class ScheduleScore:
    """How useful an exit is, by a logistic regression that sees how useful the exit before was (EENet, eq. 4).

    State: the last score.
    """

    parameter_names: tuple[str, ...] = ("max_probability", "negentropy", "past", "bias")

    def state_size(self, n_classes: int) -> int:
        """Last score."""
        return 1

    def __call__(
        self, exit_index: int, p: Float32, state: Float32, parameters: tuple[float, ...] = ()
    ) -> tuple[Float32, Float32]:
        """Weigh the features of `schedule_features`."""
        score = _probability(schedule_features(p, state[:, 0]), parameters)
        return score, score[:, np.newaxis]


def _probability(features: Float32, parameters: tuple[float, ...]) -> Float32:
    """Logistic function ``(n,)`` of weighted features ``(n, D)``."""
    logit = np.clip(features @ np.asarray(parameters, dtype=np.float32), -30, 30)
    return np.asarray(1 / (1 + np.exp(-logit)), dtype=np.float32)


SCORES: dict[str, Score] = {
    "max_probability": OwnProbabilities(max_probability),
    "margin": OwnProbabilities(margin),
    "negentropy": OwnProbabilities(negentropy),
    "patience": Patience(),
    "gate": LearnedGate(),
    "joint_gate": LearnedGate(),  # the same function with coefficients that are fitted to another aim
    "schedule": ScheduleScore(),
}
