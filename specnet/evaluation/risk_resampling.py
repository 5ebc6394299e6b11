"""Whether a promised risk is kept: calibration splits drawn again and again from a population whose risk is known.

The spectra of a run that nothing was fitted on are taken for the whole population, so the true risk of every threshold
is known exactly. Each resample draws a calibration split from it, chooses a threshold as `specnet calibrate` would, and
is a violation when that threshold's true risk is above what was promised.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from specnet.calibration import CachedLogits, RiskMethod
from specnet.calibration.combiner import choose_combination
from specnet.calibration.exit_table import ExitTable
from specnet.calibration.folds import stratified_folds
from specnet.calibration.recipe import Recipe
from specnet.calibration.risk import confidence_grid, gap_losses, lowest_by_bound, lowest_by_expectation
from specnet.errors import ConfigurationError

PLAIN = "no bound"
"""The lowest threshold whose risk on the calibration split itself is within the promise: what the bounds are for."""
Choose = Callable[[NDArray[np.float64], float, float], int]
Advance = Callable[[int], None]


def lowest_without_bound(losses: NDArray[np.float64], max_risk: float) -> int:
    """Last grid index whose risk on these spectra is at most `max_risk`; 0 when there is none. ``(G, n)`` losses."""
    return int(np.flatnonzero(losses.mean(axis=1) <= max_risk)[-1])


CHOICES: dict[str, Choose] = {
    str(RiskMethod.UCB): lowest_by_bound,
    str(RiskMethod.CRC): lambda losses, max_risk, confidence: lowest_by_expectation(losses, max_risk),
    PLAIN: lambda losses, max_risk, confidence: lowest_without_bound(losses, max_risk),
}


@dataclass(frozen=True)
class Resampled:
    """What a way of choosing thresholds did over many calibration splits.

    Parameters
    ----------
    method
        A name in `CHOICES`.
    violations
        Share of splits whose threshold has a true risk above the promise, 0..1.
    mean_risk
        Mean true risk of the thresholds chosen, 0..1.
    mean_macs
        Mean MACs of a spectrum at the thresholds chosen.
    mac_share
        The same as a share of the last exit's mean MACs.
    risks
        True risk of every threshold chosen.
    """

    method: str
    violations: float
    mean_risk: float
    mean_macs: float
    mac_share: float
    risks: NDArray[np.float64]


@dataclass(frozen=True)
class Population:
    """Losses and mean MACs at every threshold of a grid: ``(G, N)`` and ``(G,)``."""

    losses: NDArray[np.float64]
    macs: NDArray[np.float64]

    @classmethod
    def of(cls, fitted_on: CachedLogits, rest: CachedLogits, *, additive: bool) -> Population:
        """Fit the policy on one set of spectra; the others are the population."""
        chosen = choose_combination(fitted_on, additive=additive)
        base = Recipe(chosen.combiner, additive=additive, biased=chosen.biased).fit(fitted_on)
        grid = confidence_grid(ExitTable.of(fitted_on, base))
        table = ExitTable.of(rest, base)
        macs = [table.outcome((level,) * table.n_exits).mean_macs for level in grid]
        return cls(gap_losses(table, grid), np.array(macs))


def halves(cached: CachedLogits, seed: int) -> tuple[CachedLogits, CachedLogits]:
    """Divide cached spectra into two halves, by class, groups kept together."""
    folds = stratified_folds(cached.labels, 2, seed, cached.groups)
    return cached.take(np.flatnonzero(folds == 0)), cached.take(np.flatnonzero(folds == 1))


def resample_risk(
    population: Population,
    *,
    n: int,
    max_risk: float,
    confidence: float,
    resamples: int,
    seed: int,
    advance: Advance = lambda steps: None,
) -> list[Resampled]:
    """Choose thresholds on many calibration splits of n spectra, in every way of `CHOICES`.

    Parameters
    ----------
    population
        Where splits are drawn from, with replacement.
    n
        Spectra of a split.
    max_risk, confidence
        As for `specnet.calibration.calibrate`.
    resamples
        Number of splits.
    seed
        Of the draws.
    advance
        Called with 1 after each split.

    Raises
    ------
    ConfigurationError
        When a number is out of range.
    """
    if n < 1 or resamples < 1:
        raise ConfigurationError(f"resampling needs at least one split of one spectrum, got {resamples} of {n}")
    if not (0 < max_risk < 1 and 0 < confidence < 1):
        raise ConfigurationError(f"risk and confidence are between 0 and 1, got {max_risk} and {confidence}")
    true, rng = population.losses.mean(axis=1), np.random.default_rng(seed)
    chosen: dict[str, list[int]] = {name: [] for name in CHOICES}
    for _ in range(resamples):
        losses = population.losses[:, rng.integers(0, population.losses.shape[1], n)]
        for name, choose in CHOICES.items():
            chosen[name].append(choose(losses, max_risk, confidence))
        advance(1)
    full = float(population.macs[0])
    return [
        Resampled(
            method=name,
            violations=float((true[where] > max_risk).mean()),
            mean_risk=float(true[where].mean()),
            mean_macs=float(population.macs[where].mean()),
            mac_share=float(population.macs[where].mean()) / full,
            risks=true[where],
        )
        for name, where in chosen.items()
    ]
