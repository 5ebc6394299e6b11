"""Coefficients of the learned gate.

Legend: n spectra, C classes, E exits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from specnet.exits import Parameters, gate_features
from specnet.exits.scores import MAX_COEFFICIENT

RIDGE = 1.0
"""Squared coefficients cost half of this in nats, the bias nothing: on few spectra the gate stays simple."""


def fit_gate(probabilities: NDArray[np.float32], labels: NDArray[np.int64], ridge: float = RIDGE) -> Parameters:
    """Logistic regression of "this answer is right" on `specnet.exits.gate_features`, for every exit.

    Parameters
    ----------
    probabilities
        ``(E, n, C)`` combined probabilities at every exit.
    labels
        ``(n,)``.
    ridge
        Penalty on the squared coefficients.
    """
    previous = np.zeros(len(labels), dtype=np.float32)
    rows = []
    for k, p in enumerate(probabilities):
        features = gate_features(k, p, previous).astype(np.float64)
        predicted = p.argmax(axis=-1)
        rows.append(fit_exit(features, predicted == labels, ridge))
        previous = predicted.astype(np.float32)
    return tuple(rows)


def fit_exit(
    features: NDArray[np.float64],
    leaves: NDArray[np.bool_],
    ridge: float,
    weights: NDArray[np.float64] | float = 1.0,
) -> tuple[float, ...]:
    """Coefficients of one exit's gate from features ``(n, D)`` of spectra and whether they should leave ``(n,)``."""
    signs = np.where(leaves, 1.0, -1.0)
    size = features.shape[1]
    # the bias is free, but an exit without a mistake must not send it to infinity
    penalty = np.full(size, ridge)
    penalty[-1] = 1e-3 * ridge

    def objective(w: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        odds = signs * (features @ w)
        loss = (weights * np.logaddexp(0.0, -odds)).sum() + 0.5 * (penalty * w**2).sum()
        pull = -weights * signs / (1.0 + np.exp(np.clip(odds, -500, 500)))
        return float(loss) / len(signs), (features.T @ pull + penalty * w) / len(signs)

    result = minimize(objective, np.zeros(size), jac=True, method="L-BFGS-B")
    return tuple(float(value) for value in np.clip(result.x, -MAX_COEFFICIENT, MAX_COEFFICIENT))
