"""Coefficients of gates that weigh what an exit loses against what the exits behind it cost.

Legend: n spectra, C classes, E exits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from specnet.calibration.gate import RIDGE, fit_exit
from specnet.exits import Parameters, gate_features

PRICE = 0.1
"""Nats that the full network's MACs are worth."""
MAX_WEIGHT = 5.0
_TINY = float(np.finfo(np.float32).tiny)


def fit_joint_gate(
    probabilities: NDArray[np.float32],
    labels: NDArray[np.int64],
    macs: NDArray[np.int64],
    static_macs: int,
    *,
    price: float = PRICE,
    ridge: float = RIDGE,
) -> Parameters:
    r"""Logistic regression of "it should have left by now", for every exit (JEI-DNN, Regol et al. 2024, eq. 12).

    .. math:: k^* = \arg\min_k CE_k + \lambda c_k / c_K, \qquad \text{target of gate } k: 1[k \ge k^*]

    Where few spectra should have left they weigh more, at most five times. The paper trains gates and exits in turns;
    here exits are finished and gates are fitted to them. Its powered probabilities are not among the features, which
    are those of the gate that predicts being right (`specnet.calibration.gate`).

    Parameters
    ----------
    probabilities
        ``(E, n, C)`` combined probabilities at every exit.
    labels
        ``(n,)``.
    macs, static_macs
        Executed up to each exit ``(E, n)``, and of the full network.
    price
        Lambda, in nats.
    ridge
        Penalty on the squared coefficients.
    """
    right = np.take_along_axis(probabilities, labels[np.newaxis, :, np.newaxis], axis=2)[..., 0]
    loss = -np.log(np.maximum(right, _TINY)) + price * macs / static_macs
    best = loss.argmin(axis=0)
    previous = np.zeros(len(labels), dtype=np.float32)
    rows = []
    for k, p in enumerate(probabilities):
        features = gate_features(k, p, previous).astype(np.float64)
        leaves = best <= k
        weight = np.clip((~leaves).sum() / max(1, leaves.sum()), 1.0, MAX_WEIGHT)
        rows.append(fit_exit(features, leaves, ridge, np.where(leaves, weight, 1.0)))
        previous = p.argmax(axis=-1).astype(np.float32)
    return tuple(rows)
