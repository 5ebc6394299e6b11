"""Which combiner of exits to use.

The mean over exits gains on most data and drags a far better exit down on some, so the choice is made on the
calibration split.
"""

from __future__ import annotations

import numpy as np

from specnet.calibration.cached import CachedLogits
from specnet.calibration.temperature import negative_log_likelihood
from specnet.exits import COMBINERS, NEVER, ExitPolicy, route


def combiner_likelihoods(cached: CachedLogits, temperatures: tuple[float, ...]) -> dict[str, float]:
    """Negative log-likelihood of every known combiner, the mean over exits 1 and later.

    Spectra leave at all exits, not at the last one only, so all of them count alike; exit 0 answers the same with any
    combiner and is left out. Likelihood rather than accuracy, because confidences decide who leaves.
    """
    found = {}
    for name in COMBINERS:
        policy = ExitPolicy(temperatures=temperatures, thresholds=(NEVER,) * cached.n_exits, combiner=name)
        probabilities = route(policy, cached.logits).all_probabilities
        log_p = np.log(np.maximum(probabilities, np.finfo(np.float32).tiny))
        counted = log_p[1:] if cached.n_exits > 1 else log_p
        found[name] = float(np.mean([negative_log_likelihood(one, cached.labels) for one in counted]))
    return found


def choose_combiner(likelihoods: dict[str, float]) -> str:
    """Name of the combiner with the least negative log-likelihood; the earlier one of `COMBINERS` when equal."""
    return min(likelihoods, key=lambda name: likelihoods[name])
