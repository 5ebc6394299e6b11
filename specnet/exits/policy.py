"""When a spectrum leaves, as a document: validated, plain numbers, the same on device and gateway.

Legend: n spectra, C classes, E exits (exit 0 is the linear one), S size of the running state.
"""

from __future__ import annotations

from functools import cached_property, lru_cache

import msgspec
import numpy as np
from numpy.typing import NDArray

from specnet.errors import ConfigurationError
from specnet.exits.combiners import COMBINERS, MAX_WEIGHT
from specnet.exits.parameters import Parameters, check_biases, check_parameters, row_of
from specnet.exits.probabilities import Float32, log_softmax, softmax
from specnet.exits.rejection import REJECT_SCORES, improbability
from specnet.exits.scores import MAX_COEFFICIENT, SCORES

NEVER = 2.0
"""A threshold that no score reaches: nothing leaves at this exit."""
MAX_EXITS = 64
_SMALLEST_TEMPERATURE = 1e-6


class Decision(msgspec.Struct, frozen=True):
    """What one exit says of n spectra.

    Parameters
    ----------
    probabilities
        ``(n, C)`` of the combined answer.
    score, leave
        ``(n,)``: how sure it is, and whether that is enough.
    state
        ``(n, S)``: for the next exit.
    tempered, own_log_probabilities
        Tempered logits and log-probabilities ``(n, C)`` of this exit alone.
    policy
        Who said it.
    """

    probabilities: Float32
    score: Float32
    leave: NDArray[np.bool_]
    state: Float32
    tempered: Float32
    own_log_probabilities: Float32
    policy: ExitPolicy

    @property
    def reject_score(self) -> Float32:
        """How much the answers ``(n,)`` look like nothing known; worked out when it is asked for."""
        return REJECT_SCORES.get(self.policy.reject, improbability)(self.tempered, self.probabilities)

    @property
    def known(self) -> NDArray[np.bool_]:
        """Whether the answers ``(n,)`` are not rejected; worked out when it is asked for."""
        if not self.policy.reject:
            return np.ones(len(self.score), dtype=np.bool_)
        known: NDArray[np.bool_] = self.reject_score <= np.float32(self.policy.reject_threshold)
        return known


class ExitPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, dict=True):
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
    combiner_parameters, score_parameters
        Fitted numbers of both, one row an exit; empty for those that have none.
    additive
        Exits after exit 0 say what is to be added to its logits: they answer ``softmax((z_k + z_0) / T_k)``. Logits
        are raw ones everywhere; the sum is made here, and ``z_0`` is part of the state.
    reject
        A name in `REJECT_SCORES`: an answer whose reject score exceeds `reject_threshold` is of no known class. Empty
        for no such rule.
    reject_threshold
        Largest reject score of what is called known.
    biases
        One row of C numbers an exit, added to its tempered logits: nats by which the exit misjudges each class, see
        `specnet.calibration.class_bias`. Empty for none.

    Raises
    ------
    ConfigurationError
        On an unknown name, different lengths, or numbers out of range.
    """

    temperatures: tuple[float, ...]
    thresholds: tuple[float, ...]
    combiner: str = "mean_log_probability"
    score: str = "max_probability"
    combiner_parameters: Parameters = ()
    score_parameters: Parameters = ()
    additive: bool = False
    reject: str = ""
    reject_threshold: float = 0.0
    biases: Parameters = ()

    def __post_init__(self) -> None:
        if self.combiner not in COMBINERS:
            raise ConfigurationError(f"unknown combiner {self.combiner!r}; known: {', '.join(COMBINERS)}")
        if self.score not in SCORES:
            raise ConfigurationError(f"unknown score {self.score!r}; known: {', '.join(SCORES)}")
        if self.reject and self.reject not in REJECT_SCORES:
            raise ConfigurationError(f"unknown reject score {self.reject!r}; known: {', '.join(REJECT_SCORES)}")
        if not 1 <= len(self.temperatures) <= MAX_EXITS or len(self.temperatures) != len(self.thresholds):
            raise ConfigurationError(
                f"an exit policy has one temperature and one threshold an exit (at most {MAX_EXITS}), "
                f"got {len(self.temperatures)} and {len(self.thresholds)}"
            )
        if not all(np.isfinite(t) and t >= _SMALLEST_TEMPERATURE for t in self.temperatures):
            raise ConfigurationError(
                f"temperatures are positive, at least {_SMALLEST_TEMPERATURE:g}, got {self.temperatures}"
            )
        if not all(np.isfinite(t) for t in self.thresholds):
            raise ConfigurationError(f"thresholds are finite, got {self.thresholds}")
        if not np.isfinite(self.reject_threshold):
            raise ConfigurationError(f"a reject threshold is finite, got {self.reject_threshold}")
        combiner, score = COMBINERS[self.combiner].parameter_names, SCORES[self.score].parameter_names
        check_parameters(self.combiner, self.combiner_parameters, self.n_exits, combiner, 0.0, MAX_WEIGHT)
        check_parameters(self.score, self.score_parameters, self.n_exits, score, -MAX_COEFFICIENT, MAX_COEFFICIENT)
        check_biases(self.biases, self.n_exits)

    @property
    def n_exits(self) -> int:
        """Number of exits E."""
        return len(self.thresholds)

    def state_size(self, n_classes: int) -> int:
        """Length S of the running state of one spectrum: the combiner's, the score's, logits of exit 0."""
        return sum(self._state_sizes(n_classes))

    def state_blocks(self, n_classes: int) -> tuple[tuple[int, bool], ...]:
        """Lengths of the state's parts, and whether a part can be sent as nats behind the likeliest class."""
        combiner, score, first = self._state_sizes(n_classes)
        return (combiner, COMBINERS[self.combiner].packable), (score, False), (first, True)

    def initial_state(self, n_spectra: int, n_classes: int) -> Float32:
        """State ``(n, S)`` before exit 0."""
        return np.zeros((n_spectra, self.state_size(n_classes)), dtype=np.float32)

    def own_logits(self, exit_index: int, logits: Float32, first: Float32) -> Float32:
        """Tempered logits ``(n, C)`` of an exit from its raw logits and those of exit 0 (both ``(n, C)``)."""
        whole = logits + first if self.additive and exit_index > 0 else logits
        tempered: Float32 = whole / np.float32(self.temperatures[exit_index])
        if self.biases:
            tempered += self._bias_rows[exit_index]
        return tempered

    @cached_property
    def _bias_rows(self) -> Float32:
        """Biases ``(E, C)`` as an array: one spectrum on a device does not wait for lists of numbers."""
        return np.array(self.biases, dtype=np.float32)

    def decide(self, exit_index: int, logits: Float32, state: Float32) -> Decision:
        """Judge the raw logits ``(n, C)`` of one exit, given the state ``(n, S)`` of the exits before it."""
        logits = np.asarray(logits, dtype=np.float32)
        of_combiner, of_score, _ = self._state_sizes(logits.shape[-1])
        first = logits if exit_index == 0 else state[:, of_combiner + of_score :]
        tempered = self.own_logits(exit_index, logits, first)
        log_p = log_softmax(tempered)
        combined, running = COMBINERS[self.combiner](
            exit_index, tempered, log_p, state[:, :of_combiner], row_of(self.combiner_parameters, exit_index)
        )
        probabilities = softmax(combined)
        score, remembered = SCORES[self.score](
            exit_index,
            probabilities,
            state[:, of_combiner : of_combiner + of_score],
            row_of(self.score_parameters, exit_index),
        )
        if exit_index == self.n_exits - 1:
            leave = np.ones(len(score), dtype=np.bool_)
        else:
            leave = score >= np.float32(self.thresholds[exit_index])
        parts = (running, remembered, first) if self.additive else (running, remembered)
        kept = [part for part in parts if part.shape[1]]
        new_state = kept[0] if len(kept) == 1 else np.concatenate(kept or parts, axis=1)
        return Decision(probabilities, score, leave, new_state, tempered, log_p, self)

    def _state_sizes(self, n_classes: int) -> tuple[int, int, int]:
        """Give the lengths of the three parts: of the combiner, of the score, logits of exit 0."""
        return _state_sizes(self.combiner, self.score, self.additive, n_classes)


@lru_cache(1000)
def _state_sizes(combiner: str, score: str, additive: bool, n_classes: int) -> tuple[int, int, int]:
    return (
        COMBINERS[combiner].state_size(n_classes),
        SCORES[score].state_size(n_classes),
        n_classes if additive else 0,
    )
