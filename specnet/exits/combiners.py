"""What an exit answers, given its own prediction and those of the exits before it.

Legend: n spectra, C classes, S size of the running state.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from specnet.exits.probabilities import Float32

MAX_WEIGHT = 100.0
_BOUND = np.float32(1e30)  # a state that stays below it cannot overflow, whatever a message brings


class Combiner(Protocol):
    """What exit k answers, given its own prediction and those of the exits before it.

    What it must remember is a small array ``(n, S)`` that travels with the features from device to gateway.
    """

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Names of the fitted numbers of one exit, each 0 to `MAX_WEIGHT`; empty when there is nothing to fit."""

    def state_size(self, n_classes: int) -> int:
        """Length S of the running state of one spectrum."""

    def __call__(
        self, exit_index: int, log_p: Float32, state: Float32, parameters: tuple[float, ...] = ()
    ) -> tuple[Float32, Float32]:
        """Combine.

        Parameters
        ----------
        exit_index
            0 for the first exit.
        log_p
            ``(n, C)`` tempered log-probabilities of this exit.
        state
            ``(n, S)`` state after the exits before this one; zeros at exit 0.
        parameters
            The fitted numbers of this exit, in the order of `parameter_names`.

        Returns
        -------
        tuple
            Logits ``(n, C)`` of the answer, whose softmax are its probabilities, and the new state ``(n, S)``.
        """


class Last:
    """The exit's own prediction; earlier exits are forgotten."""

    parameter_names: tuple[str, ...] = ()

    def state_size(self, n_classes: int) -> int:
        """No state."""
        return 0

    def __call__(
        self, exit_index: int, log_p: Float32, state: Float32, parameters: tuple[float, ...] = ()
    ) -> tuple[Float32, Float32]:
        """Answer with this exit alone."""
        return log_p, state


class MeanLogProbability:
    """Normalised mean of the log-probabilities of all exits so far (a geometric mean of their predictions).

    The parameter-free form of the geometric running ensemble of Zero Time Waste (Wolczyk et al. 2021, eq. 4, with
    equal weights). Its state is the running sum.
    """

    parameter_names: tuple[str, ...] = ()

    def state_size(self, n_classes: int) -> int:
        """One running sum a class."""
        return n_classes

    def __call__(
        self, exit_index: int, log_p: Float32, state: Float32, parameters: tuple[float, ...] = ()
    ) -> tuple[Float32, Float32]:
        """Answer with the mean over exits ``0 .. exit_index``."""
        total = state + log_p
        return total / np.float32(exit_index + 1), total


class GeometricEnsemble:
    r"""Recursive geometric ensemble, two fitted numbers an exit.

    .. math:: F_k = a_k F_{k-1} + b_k \log p_k, \quad F_{-1} = 0, \quad q_k = \mathrm{softmax}(F_k)

    Zero Time Waste (Wolczyk et al. 2021, eq. 4) gives every pair of exits a weight of its own, ``w_kj``, so that exit k
    needs the predictions of all exits before it. Here the weights of the past are scaled together by ``a_k``: the state
    that travels stays C floats however many exits there are, and two numbers an exit can be fitted on few spectra.
    The weights need not sum to one, so the answer's confidence is refitted too.

    ``(0, 1)`` at every exit is `Last`; ``(1, 0)`` after exit 0 keeps the answer of exit 0; ``(k, 1) / (k + 1)`` is
    `MeanLogProbability`.
    """

    parameter_names: tuple[str, ...] = ("a", "b")

    def state_size(self, n_classes: int) -> int:
        """One running weighted sum a class."""
        return n_classes

    def __call__(
        self, exit_index: int, log_p: Float32, state: Float32, parameters: tuple[float, ...] = ()
    ) -> tuple[Float32, Float32]:
        """Answer with the weighted ensemble of exits ``0 .. exit_index``."""
        past, own = parameters
        total: Float32 = np.maximum(log_p, -_BOUND)
        total *= own
        if exit_index:  # before exit 0 there is nothing
            total += past * state
        np.maximum(total, -_BOUND, out=total)
        np.minimum(total, _BOUND, out=total)
        return total, total


COMBINERS: dict[str, Combiner] = {
    "last": Last(),
    "mean_log_probability": MeanLogProbability(),
    "geometric": GeometricEnsemble(),
}
