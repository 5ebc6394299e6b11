"""A policy applied to cached logits of all exits.

Legend: n spectra, C classes, E exits (exit 0 is the linear one).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from specnet.errors import ConfigurationError
from specnet.exits.policy import ExitPolicy
from specnet.exits.probabilities import Float32

StateChange = Callable[[Float32], Float32]


@dataclass(frozen=True)
class Routing:
    """Where n spectra left: exit ``(n,)``, probabilities ``(n, C)`` of the answers, and everything an exit would say.

    `all_probabilities` is ``(E, n, C)``, `all_scores` ``(E, n)``: the combined predictions at every exit.
    `own_probabilities` ``(E, n, C)`` are those of each exit alone, tempered, before any combination. `known` ``(n,)``
    is false where the policy rejects the answer given; `reject_scores` ``(n,)`` is what it judges that by.
    """

    exit_index: NDArray[np.int64]
    probabilities: Float32
    all_probabilities: Float32
    all_scores: Float32
    own_probabilities: Float32
    known: NDArray[np.bool_]
    reject_scores: Float32


def route(
    policy: ExitPolicy, logits: Float32, *, split: int | None = None, hand_over: StateChange = lambda state: state
) -> Routing:
    """Apply a policy to cached raw logits ``(E, n, C)`` of all exits.

    Parameters
    ----------
    policy, logits
        What decides, and what the exits say.
    split
        Exit behind which another machine goes on; None for one machine.
    hand_over
        What becomes of the running states ``(n, S)`` on the way there.

    Raises
    ------
    ConfigurationError
        When the policy has another number of exits.
    """
    n_exits, n, n_classes = logits.shape
    if n_exits != policy.n_exits:
        raise ConfigurationError(f"the policy has {policy.n_exits} exits, the logits have {n_exits}")
    state = policy.initial_state(n, n_classes)
    combined, own = np.empty(logits.shape, dtype=np.float32), np.empty(logits.shape, dtype=np.float32)
    scores, strange = np.empty((n_exits, n), dtype=np.float32), np.empty((n_exits, n), dtype=np.float32)
    left, known = np.empty((n_exits, n), dtype=np.bool_), np.empty((n_exits, n), dtype=np.bool_)
    for k in range(n_exits):
        decision = policy.decide(k, logits[k], state)
        combined[k], own[k] = decision.probabilities, np.exp(decision.own_log_probabilities)
        scores[k], strange[k] = decision.score, decision.reject_score
        left[k], known[k], state = decision.leave, decision.known, decision.state
        state = hand_over(state) if k == split else state
    exit_index = np.argmax(left, axis=0)
    given = exit_index, np.arange(n)
    return Routing(exit_index, combined[given], combined, scores, own, known[given], strange[given])
