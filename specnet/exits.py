"""Exits: how the predictions of one network's exits are combined, and when a spectrum leaves.

The same numpy code decides on the device, in the gateway and in the evaluation of cached logits.

Legend: n spectra, C classes, E exits (exit 0 is the linear one), S size of the running state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from specnet.errors import ConfigurationError

Float32 = NDArray[np.float32]
NEVER = 2.0
"""A threshold that no score reaches: nothing leaves at this exit."""
MAX_EXITS = 64


def log_softmax(logits: Float32) -> Float32:
    """Log-probabilities ``(..., C)`` of logits ``(..., C)``."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))  # type: ignore[no-any-return]


class Combiner(Protocol):
    """What exit k answers, given its own prediction and those of the exits before it.

    What it must remember is a small array ``(n, S)`` that travels with the features from device to gateway.
    """

    def state_size(self, n_classes: int) -> int:
        """Length S of the running state of one spectrum."""

    def __call__(self, exit_index: int, log_p: Float32, state: Float32) -> tuple[Float32, Float32]:
        """Combine.

        Parameters
        ----------
        exit_index
            0 for the first exit.
        log_p
            ``(n, C)`` tempered log-probabilities of this exit.
        state
            ``(n, S)`` state after the exits before this one; zeros at exit 0.

        Returns
        -------
        tuple
            Log-probabilities ``(n, C)`` of the answer and the new state ``(n, S)``.
        """


class Last:
    """The exit's own prediction; earlier exits are forgotten."""

    def state_size(self, n_classes: int) -> int:
        """No state."""
        return 0

    def __call__(self, exit_index: int, log_p: Float32, state: Float32) -> tuple[Float32, Float32]:
        """Answer with this exit alone."""
        return log_p, state


class MeanLogProbability:
    """Normalised mean of the log-probabilities of all exits so far (a geometric mean of their predictions).

    The parameter-free form of the geometric running ensemble of Zero Time Waste (Wolczyk et al. 2021, eq. 4, with
    equal weights). Its state is the running sum.
    """

    def state_size(self, n_classes: int) -> int:
        """One running sum a class."""
        return n_classes

    def __call__(self, exit_index: int, log_p: Float32, state: Float32) -> tuple[Float32, Float32]:
        """Answer with the mean over exits ``0 .. exit_index``."""
        total = state + log_p
        return log_softmax(total / np.float32(exit_index + 1)), total


COMBINERS: dict[str, Combiner] = {"last": Last(), "mean_log_probability": MeanLogProbability()}


def max_probability(p: Float32) -> Float32:
    """Probability ``(n,)`` of the most likely class."""
    return p.max(axis=-1)  # type: ignore[no-any-return]


def margin(p: Float32) -> Float32:
    """Difference ``(n,)`` between the two most likely classes."""
    top = np.partition(p, -2, axis=-1)
    return top[..., -1] - top[..., -2]


def negentropy(p: Float32) -> Float32:
    """One minus the entropy over its maximum log C (BranchyNet, Teerapittayanon et al. 2016), ``(n,)`` in 0..1."""
    entropy = -(p * np.log(np.maximum(p, 1e-12))).sum(axis=-1)
    return np.asarray(1.0 - entropy / np.log(p.shape[-1]), dtype=np.float32)


SCORES: dict[str, Callable[[Float32], Float32]] = {
    "max_probability": max_probability,
    "margin": margin,
    "negentropy": negentropy,
}


@dataclass(frozen=True)
class Decision:
    """What one exit says of n spectra: probabilities ``(n, C)``, score ``(n,)``, leave ``(n,)``, state ``(n, S)``."""

    probabilities: Float32
    score: Float32
    leave: NDArray[np.bool_]
    state: Float32


class ExitPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a spectrum leaves: temperature per exit, combiner, score and threshold per exit.

    A spectrum leaves at the first exit whose score reaches its threshold, and at the last exit in any case.

    Parameters
    ----------
    temperatures
        E positive numbers; logits are divided by them (Guo et al. 2017).
    thresholds
        E numbers; the last one is not used. `NEVER` closes an exit.
    combiner, score
        Names in `COMBINERS` and `SCORES`.

    Raises
    ------
    ConfigurationError
        On an unknown name, different lengths, or numbers out of range.
    """

    temperatures: tuple[float, ...]
    thresholds: tuple[float, ...]
    combiner: str = "mean_log_probability"
    score: str = "max_probability"

    def __post_init__(self) -> None:
        if self.combiner not in COMBINERS:
            raise ConfigurationError(f"unknown combiner {self.combiner!r}; known: {', '.join(COMBINERS)}")
        if self.score not in SCORES:
            raise ConfigurationError(f"unknown score {self.score!r}; known: {', '.join(SCORES)}")
        if not 1 <= len(self.temperatures) <= MAX_EXITS or len(self.temperatures) != len(self.thresholds):
            raise ConfigurationError(
                f"an exit policy has one temperature and one threshold an exit (at most {MAX_EXITS}), "
                f"got {len(self.temperatures)} and {len(self.thresholds)}"
            )
        if not all(np.isfinite(t) and t > 0 for t in self.temperatures):
            raise ConfigurationError(f"temperatures are positive, got {self.temperatures}")
        if not all(np.isfinite(t) for t in self.thresholds):
            raise ConfigurationError(f"thresholds are finite, got {self.thresholds}")

    @property
    def n_exits(self) -> int:
        """Number of exits E."""
        return len(self.thresholds)

    def state_size(self, n_classes: int) -> int:
        """Length S of the running state of one spectrum."""
        return COMBINERS[self.combiner].state_size(n_classes)

    def initial_state(self, n_spectra: int, n_classes: int) -> Float32:
        """State ``(n, S)`` before exit 0."""
        return np.zeros((n_spectra, self.state_size(n_classes)), dtype=np.float32)

    def decide(self, exit_index: int, logits: Float32, state: Float32) -> Decision:
        """Judge the logits ``(n, C)`` of one exit, given the state ``(n, S)`` of the exits before it."""
        log_p = log_softmax(np.asarray(logits, dtype=np.float32) / np.float32(self.temperatures[exit_index]))
        combined, new_state = COMBINERS[self.combiner](exit_index, log_p, state)
        probabilities = np.exp(combined)
        score = SCORES[self.score](probabilities)
        if exit_index == self.n_exits - 1:
            leave = np.ones(len(score), dtype=np.bool_)
        else:
            leave = score >= np.float32(self.thresholds[exit_index])
        return Decision(probabilities, score, leave, new_state)


@dataclass(frozen=True)
class Routing:
    """Where n spectra left: exit ``(n,)``, probabilities ``(n, C)`` of the answers, and everything an exit would say.

    `all_probabilities` is ``(E, n, C)``, `all_scores` ``(E, n)``: the combined predictions at every exit.
    """

    exit_index: NDArray[np.int64]
    probabilities: Float32
    all_probabilities: Float32
    all_scores: Float32


def route(policy: ExitPolicy, logits: Float32) -> Routing:
    """Apply a policy to cached logits ``(E, n, C)`` of all exits."""
    n_exits, n, n_classes = logits.shape
    if n_exits != policy.n_exits:
        raise ConfigurationError(f"the policy has {policy.n_exits} exits, the logits have {n_exits}")
    state = policy.initial_state(n, n_classes)
    probabilities = np.empty(logits.shape, dtype=np.float32)
    scores = np.empty((n_exits, n), dtype=np.float32)
    left = np.empty((n_exits, n), dtype=np.bool_)
    for k in range(n_exits):
        decision = policy.decide(k, logits[k], state)
        probabilities[k], scores[k], left[k], state = (
            decision.probabilities,
            decision.score,
            decision.leave,
            decision.state,
        )
    exit_index = np.argmax(left, axis=0)
    return Routing(exit_index, probabilities[exit_index, np.arange(n)], probabilities, scores)
