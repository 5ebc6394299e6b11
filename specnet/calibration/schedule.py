"""Scores that know what the exits before said, and shares of spectra an exit that follow from them.

Legend: n spectra, C classes, E exits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from specnet.calibration.gate import RIDGE, fit_exit
from specnet.exits import SCORES, Parameters, schedule_features

POWERS = tuple(float(power) for power in np.linspace(-12.0, 12.0, 49))
"""Of scores in an assignment: from nearly all at the least sure exit to nearly all at the surest."""
_LEAST = 1e-6


def fit_schedule(probabilities: NDArray[np.float32], labels: NDArray[np.int64], ridge: float = RIDGE) -> Parameters:
    """Logistic regression of "this answer is right" on what `specnet.exits.schedule_features` sees, exit after exit.

    The exit utility scores of EENet (Ilhan et al. 2024, eq. 4), without its linear function of all probabilities: C
    more numbers an exit cannot be fitted on few spectra.

    Parameters
    ----------
    probabilities
        ``(E, n, C)`` combined probabilities at every exit.
    labels
        ``(n,)``.
    ridge
        Penalty on the squared coefficients.
    """
    past = np.zeros((len(labels), 1), dtype=np.float32)
    rows = []
    for k, p in enumerate(probabilities):
        features = schedule_features(p, past[:, 0]).astype(np.float64)
        rows.append(fit_exit(features, p.argmax(axis=-1) == labels, ridge))
        _, past = SCORES["schedule"](k, p, past, rows[-1])
    return tuple(rows)


def scheduled_shares(scores: NDArray[np.float32], power: float) -> NDArray[np.float64]:
    r"""Shares ``(E,)`` of spectra that leave at each exit: mean assignment of EENet (Ilhan et al. 2024, eq. 6).

    .. math:: r_k = \frac{1}{n} \sum_i \frac{q_{ik}^\beta}{\sum_j q_{ij}^\beta}

    The paper trains a network to assign so, under a penalty on its distance from a budget; here the assignment that the
    penalty's other half pulls it to is taken as it is, and the budget chooses among powers.

    Parameters
    ----------
    scores
        ``(E, n)``.
    power
        Beta; the larger, the more leave where scores are high, which is late.
    """
    logs = power * np.log(np.maximum(scores.astype(np.float64), _LEAST))
    weights = np.exp(logs - logs.max(axis=0))
    shares: NDArray[np.float64] = (weights / weights.sum(axis=0)).mean(axis=1)
    return shares
