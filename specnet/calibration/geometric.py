"""Weights of the geometric ensemble.

Legend: n spectra, C classes, E exits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from specnet.exits import Parameters, log_softmax
from specnet.exits.combiners import MAX_WEIGHT

PRIOR_SPECTRA = 50.0
"""Strength of the pull to the mean: the squared distance of the two weights counts as that many nats. A hundred spectra
have about as much to say against it, five thousand drown it."""
_FIRST = (0.0, 1.0)


def fit_geometric(log_p: NDArray[np.float32], labels: NDArray[np.int64], prior: float = PRIOR_SPECTRA) -> Parameters:
    r"""Weights ``(a_k, b_k)`` of every exit, fitted one exit after the other on a calibration split.

    Minimises, over :math:`a, b \ge 0`,

    .. math:: -\sum_i \log \mathrm{softmax}(a F_{k-1} + b \log p_k)_{y_i}
              + \lambda \left[(a - \tfrac{k}{k+1})^2 + (b - \tfrac{1}{k+1})^2\right]

    with L-BFGS-B. Without data the ensemble is `MeanLogProbability`.

    Parameters
    ----------
    log_p
        ``(E, n, C)`` tempered log-probabilities of every exit alone.
    labels
        ``(n,)``.
    prior
        The :math:`\lambda` above.
    """
    weights: list[tuple[float, ...]] = [_FIRST]
    running = log_p[0].astype(np.float64)
    for k in range(1, len(log_p)):
        own = log_p[k].astype(np.float64)
        found = _fit_exit(running, own, labels, np.array([k, 1.0]) / (k + 1), prior)
        weights.append((float(found[0]), float(found[1])))
        running = found[0] * running + found[1] * own
    return tuple(weights)


def _fit_exit(
    running: NDArray[np.float64],
    own: NDArray[np.float64],
    labels: NDArray[np.int64],
    centre: NDArray[np.float64],
    prior: float,
) -> NDArray[np.float64]:
    rows = np.arange(len(labels))
    parts = np.stack([running, own])
    right = parts[:, rows, labels].sum(axis=1)

    def objective(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        log_q = log_softmax(np.tensordot(weights, parts, axes=1))
        loss = -log_q[rows, labels].sum() + prior * ((weights - centre) ** 2).sum()
        gradient = np.tensordot(parts, np.exp(log_q), axes=2) - right + 2 * prior * (weights - centre)
        return float(loss) / len(rows), gradient / len(rows)

    result = minimize(objective, centre, jac=True, method="L-BFGS-B", bounds=[(0.0, MAX_WEIGHT)] * 2)
    return np.asarray(result.x, dtype=np.float64)
