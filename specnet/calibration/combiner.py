"""Which combiner of exits to use, and its parameters.

The mean over exits gains on most data and drags a far better exit down on some, so the choice is made on the
calibration split: by cross-fitted likelihood, because a combiner with parameters is always better on the spectra that
they were fitted on.
"""

from __future__ import annotations

import numpy as np

from specnet.calibration.cached import CachedLogits
from specnet.calibration.folds import cross_fitting
from specnet.calibration.geometric import fit_geometric
from specnet.calibration.temperature import fit_temperatures
from specnet.exits import COMBINERS, NEVER, ExitPolicy, route

_TINY = np.finfo(np.float32).tiny


def fit_combination(cached: CachedLogits, combiner: str, *, additive: bool = False) -> ExitPolicy:
    """Temperatures and parameters of a combiner as a policy that never leaves early.

    Parameters
    ----------
    cached
        Spectra to fit on.
    combiner
        A name in `specnet.exits.COMBINERS`.
    additive
        Whether exits after exit 0 add to its logits.
    """
    return fit_combinations(cached, additive=additive)[combiner]


def fit_combinations(cached: CachedLogits, *, additive: bool = False) -> dict[str, ExitPolicy]:
    """`fit_combination` for every known combiner."""
    plain = ExitPolicy(
        temperatures=fit_temperatures(cached, additive=additive),
        thresholds=(NEVER,) * cached.n_exits,
        combiner="last",
        additive=additive,
    )
    own = np.log(np.maximum(route(plain, cached.logits).own_probabilities, _TINY))
    parameters = {"geometric": fit_geometric(own, cached.labels)}
    return {
        name: ExitPolicy(
            temperatures=plain.temperatures,
            thresholds=plain.thresholds,
            combiner=name,
            combiner_parameters=parameters.get(name, ()),
            additive=additive,
        )
        for name in COMBINERS
    }


def combiner_likelihoods(cached: CachedLogits, *, additive: bool = False) -> dict[str, float]:
    """Cross-fitted negative log-likelihood of every known combiner, the mean over exits 1 and later.

    Spectra leave at all exits, not at the last one only, so all of them count alike; exit 0 answers the same with any
    combiner and is left out. Likelihood rather than accuracy, because confidences decide who leaves.
    """
    total = dict.fromkeys(COMBINERS, 0.0)
    for fitting, rows in cross_fitting(cached):
        held = cached.take(rows)
        for name, policy in fit_combinations(fitting, additive=additive).items():
            p = route(policy, held.logits).all_probabilities[min(1, cached.n_exits - 1) :]
            log_p = np.log(np.maximum(p, _TINY))[:, np.arange(held.n_spectra), held.labels]
            total[name] -= float(log_p.mean(axis=0, dtype=np.float64).sum())
    return {name: value / cached.n_spectra for name, value in total.items()}


def choose_combiner(likelihoods: dict[str, float]) -> str:
    """Name of the combiner with the least negative log-likelihood; the earlier one of `COMBINERS` when equal."""
    return min(likelihoods, key=lambda name: likelihoods[name])
