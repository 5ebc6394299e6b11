"""Which combiner of exits to use, its parameters, and whether classes are biased.

The mean over exits gains on most data and drags a far better exit down on some, so the choice is made on the
calibration split: by cross-fitted likelihood, because a combiner with parameters is always better on the spectra that
they were fitted on. So are biases of classes.

Legend: n spectra.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from specnet.calibration.cached import CachedLogits
from specnet.calibration.class_bias import biases_plausible, fit_biases
from specnet.calibration.folds import cross_fitting
from specnet.calibration.geometric import fit_geometric
from specnet.calibration.temperature import fit_temperatures
from specnet.exits import COMBINERS, NEVER, ExitPolicy, route

AUTO = "auto"
SURELY = 2.0
"""Standard errors by which biases must make calibration spectra likelier to be used."""
_TINY = np.finfo(np.float32).tiny


@dataclass(frozen=True)
class Combination:
    """What exits answer together.

    Parameters
    ----------
    combiner
        A name in `specnet.exits.COMBINERS`.
    biased
        Whether every class has a bias at every exit.
    likelihoods
        Cross-fitted negative log-likelihood of every combiner, nats a spectrum, with biases or without as chosen.
    bias_gain
        Nats a spectrum by which biases make the best combiner's answers likelier, cross-fitted; negative where they do
        not. None where they were not tried.
    """

    combiner: str
    biased: bool
    likelihoods: dict[str, float]
    bias_gain: float | None


def choose_combination(
    cached: CachedLogits, *, additive: bool = False, combiner: str = AUTO, biased: bool | None = None
) -> Combination:
    """Choose on a calibration split what is not given.

    Parameters
    ----------
    cached
        The split.
    additive
        Whether exits after exit 0 add to its logits.
    combiner
        Its name, or ``auto`` for the likeliest.
    biased
        Whether to fit biases of classes; None where they are surely likelier, by `SURELY` standard errors of the
        difference, spectrum by spectrum. They are not tried where they are no gain even on what they are fitted to.
    """
    plain = _held_out_nats(cached, additive=additive, biased=False)
    name = choose_combiner(_means(plain)) if combiner == AUTO else combiner
    if biased is False or (biased is None and not biases_plausible(cached, additive=additive)):
        return Combination(name, False, _means(plain), None)
    corrected = _held_out_nats(cached, additive=additive, biased=True)
    corrected_name = choose_combiner(_means(corrected)) if combiner == AUTO else combiner
    gain = plain[name] - corrected[corrected_name]
    if biased or gain.mean() > SURELY * gain.std() / np.sqrt(len(gain)):
        return Combination(corrected_name, True, _means(corrected), float(gain.mean()))
    return Combination(name, False, _means(plain), float(gain.mean()))


def fit_combination(cached: CachedLogits, combiner: str, *, additive: bool = False, biased: bool = False) -> ExitPolicy:
    """Temperatures and parameters of a combiner as a policy that never leaves early.

    Parameters
    ----------
    cached
        Spectra to fit on.
    combiner
        A name in `specnet.exits.COMBINERS`.
    additive
        Whether exits after exit 0 add to its logits.
    biased
        Whether every class gets a bias at every exit.
    """
    return fit_combinations(cached, additive=additive, biased=biased)[combiner]


def fit_combinations(cached: CachedLogits, *, additive: bool = False, biased: bool = False) -> dict[str, ExitPolicy]:
    """`fit_combination` for every known combiner."""
    if biased:
        temperatures, biases = fit_biases(cached, additive=additive)
    else:
        temperatures, biases = fit_temperatures(cached, additive=additive), ()
    plain = ExitPolicy(
        temperatures=temperatures,
        thresholds=(NEVER,) * cached.n_exits,
        combiner="last",
        additive=additive,
        biases=biases,
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
            biases=biases,
        )
        for name in COMBINERS
    }


def _held_out_nats(cached: CachedLogits, *, additive: bool, biased: bool) -> dict[str, NDArray[np.float64]]:
    """Negative log-likelihood ``(n,)`` of every spectrum by every combiner, from fits that had not seen it.

    The mean over exits 1 and later: spectra leave at all exits, not at the last one only, so all of them count alike;
    exit 0 answers the same with any combiner and is left out. Likelihood rather than accuracy, because confidences
    decide who leaves.
    """
    nats = {name: np.empty(cached.n_spectra) for name in COMBINERS}
    for fitting, rows in cross_fitting(cached):
        held = cached.take(rows)
        for name, policy in fit_combinations(fitting, additive=additive, biased=biased).items():
            p = route(policy, held.logits).all_probabilities[min(1, cached.n_exits - 1) :]
            log_p = np.log(np.maximum(p, _TINY))[:, np.arange(held.n_spectra), held.labels]
            nats[name][rows] = -log_p.mean(axis=0, dtype=np.float64)
    return nats


def _means(nats: dict[str, NDArray[np.float64]]) -> dict[str, float]:
    return {name: float(values.mean()) for name, values in nats.items()}


def choose_combiner(likelihoods: dict[str, float]) -> str:
    """Name of the combiner with the least negative log-likelihood; the earlier one of `COMBINERS` when equal."""
    return min(likelihoods, key=lambda name: likelihoods[name])
