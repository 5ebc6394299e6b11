"""One temperature for each exit, so that the confidences of different exits mean the same.

Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2: logits are divided by the T > 0 that
minimises the negative log-likelihood on a held-out split. The combiner averages *tempered* log-probabilities, so
each temperature is fitted on its exit's own logits, before any combination.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from specnet.calibration.cached import CachedLogits
from specnet.exits import log_softmax

T_MIN, T_MAX = 0.05, 20.0
"""Range searched: outside it an exit is either all right or of no use, and no temperature mends that."""


def negative_log_likelihood(log_p: NDArray[Any], labels: NDArray[np.int64]) -> float:
    """Mean of ``-log p(label)`` over spectra, from log-probabilities ``(n, C)`` and labels ``(n,)``; nats."""
    return -float(log_p[np.arange(len(labels)), labels].mean(dtype=np.float64))


def fit_temperature(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Temperature in `T_MIN` .. `T_MAX` with the least negative log-likelihood.

    Parameters
    ----------
    logits
        ``(n, C)`` of one exit.
    labels
        ``(n,)``.
    """

    # The likelihood is concave in 1/T, so it has one optimum over log T, which the bounded search finds.
    def objective(log_t: float) -> float:
        return negative_log_likelihood(log_softmax(logits / np.float32(np.exp(log_t))), labels)

    result = minimize_scalar(
        objective, bounds=(np.log(T_MIN), np.log(T_MAX)), method="bounded", options={"xatol": 1e-4}
    )
    return float(np.exp(result.x))


def fit_temperatures(cached: CachedLogits, *, additive: bool = False) -> tuple[float, ...]:
    """Temperature of every exit, fitted on a calibration split.

    With `additive`, exits after exit 0 add to its logits, and it is the sum that is tempered.
    """
    return tuple(fit_temperature(logits, cached.labels) for logits in cached.answering(additive=additive))
