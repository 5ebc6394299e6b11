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

    @property
    def packable(self) -> bool:
        """Whether its state may be sent as nats behind the likeliest class, on a few steps up to nine."""

    def state_size(self, n_classes: int) -> int:
        """Length S of the running state of one spectrum."""

    def __call__(
        self, exit_index: int, logits: Float32, log_p: Float32, state: Float32, parameters: tuple[float, ...] = ()
    ) -> tuple[Float32, Float32]:
        """Combine.

        Parameters
        ----------
        exit_index
            0 for the first exit.
        logits, log_p
            ``(n, C)`` tempered logits of this exit, and the log-probabilities that follow from them.
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
    packable = True

    def state_size(self, n_classes: int) -> int:
        """No state."""
        return 0

    def __call__(
        self, exit_index: int, logits: Float32, log_p: Float32, state: Float32, parameters: tuple[float, ...] = ()
    ) -> tuple[Float32, Float32]:
        """Answer with this exit alone."""
        return log_p, state


class MeanLogProbability:
    """Normalised mean of the log-probabilities of all exits so far (a geometric mean of their predictions).

    The parameter-free form of the geometric running ensemble of Zero Time Waste (Wolczyk et al. 2021, eq. 4, with
    equal weights). Its state is the running sum.
    """

    parameter_names: tuple[str, ...] = ()
    packable = True

    def state_size(self, n_classes: int) -> int:
        """One running sum a class."""
        return n_classes

    def __call__(
        self, exit_index: int, logits: Float32, log_p: Float32, state: Float32, parameters: tuple[float, ...] = ()
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
    packable = True

    def state_size(self, n_classes: int) -> int:
        """One running weighted sum a class."""
        return n_classes

    def __call__(
        self, exit_index: int, logits: Float32, log_p: Float32, state: Float32, parameters: tuple[float, ...] = ()
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


class ProductAnytime:
    r"""Product of what exits leave possible: a class that one exit rules out does not come back.

    .. math:: p_k[c] \propto \prod_{j \le k} \max(0, z_j[c] / T_j)

    Where that leaves no class, the exit's own softmax answers. Jazbec et al. 2023 (Towards anytime classification in
    early-exit architectures by enforcing conditional monotonicity), eq. 3, with all weights one: what an exit says of
    the true class rarely falls from exit to exit. State: the running sum of logarithms, very small for what is ruled
    out, so it is sent as it is: four bytes a class.
    """

    parameter_names: tuple[str, ...] = ()
    packable = False

    def state_size(self, n_classes: int) -> int:
        """One running sum a class."""
        return n_classes

    def __call__(
        self, exit_index: int, logits: Float32, log_p: Float32, state: Float32, parameters: tuple[float, ...] = ()
    ) -> tuple[Float32, Float32]:
        """Answer with the product over exits ``0 .. exit_index``."""
        possible = logits > 0
        total = np.where(possible, np.log(np.where(possible, logits, np.float32(1))), -_BOUND)
        if exit_index:
            total = np.clip(total + state, -_BOUND, _BOUND)
        nothing = total.max(axis=1, keepdims=True) <= -_BOUND / 2
        return np.where(nothing, log_p, total), total


COMBINERS: dict[str, Combiner] = {
    "last": Last(),
    "mean_log_probability": MeanLogProbability(),
    "geometric": GeometricEnsemble(),
    "product": ProductAnytime(),
}
