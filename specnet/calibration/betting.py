"""Upper confidence bounds for the mean of bounded losses, by betting.

Waudby-Smith and Ramdas 2023, "Estimating means of bounded random variables by betting", section 4.1 (predictable
plug-in), as used for risk control by Bates et al. 2021 (distribution-free risk-controlling prediction sets).

To refute "the mean is at least R", a gambler stakes on losses below R. Under that claim the capital is a
supermartingale, so it ever exceeds 1/delta with probability delta at most (Ville's inequality).

Legend: n spectra, in any order that does not depend on the losses; G points of a grid.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from specnet.errors import ConfigurationError

LOW, HIGH = -1.0, 1.0
"""Range of a loss that is a difference of two mistakes."""
_LARGEST_STAKE = 0.9  # share of the capital that may be lost at once; with all of it one bad spectrum ends the game
_BISECTIONS = 40


def refuted(losses: NDArray[np.float64], mean: float, confidence: float) -> NDArray[np.bool_]:
    """Whether "the mean loss is `mean` or more" is refuted, ``(G,)``.

    Parameters
    ----------
    losses
        ``(G, n)`` in `LOW` .. `HIGH`; each row is a test of its own.
    mean
        The claim.
    confidence
        One minus the probability with which a true claim is refuted.

    Raises
    ------
    ConfigurationError
        When the confidence is no probability between 0 and 1, or a loss is out of range.
    """
    if not 0.0 < confidence < 1.0:
        raise ConfigurationError(f"a confidence is above 0 and below 1, got {confidence}")
    if losses.size and (losses.min() < LOW or losses.max() > HIGH):
        raise ConfigurationError(f"losses are {LOW:g} to {HIGH:g}, got {losses.min():g} to {losses.max():g}")
    unit, claim = (losses - LOW) / (HIGH - LOW), (mean - LOW) / (HIGH - LOW)
    if claim >= 1.0:
        return np.ones(len(losses), dtype=np.bool_)
    stakes = np.minimum(_stakes(unit, confidence), _LARGEST_STAKE / (1.0 - claim))
    capital = np.cumsum(np.log1p(stakes * (claim - unit)), axis=1)
    return np.asarray(capital.max(axis=1, initial=-np.inf) >= math.log(1.0 / (1.0 - confidence)))


def upper_bound(losses: NDArray[np.float64], confidence: float) -> float:
    """Least mean that losses ``(n,)`` refute: with this confidence the true mean is below it."""
    low, high = LOW, HIGH
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        # the capital grows with the claim at every step, so bisection finds the border
        if refuted(losses[np.newaxis], middle, confidence)[0]:
            high = middle
        else:
            low = middle
    return high


def _stakes(unit: NDArray[np.float64], confidence: float) -> NDArray[np.float64]:
    """Stakes ``(G, n)``; each depends on the losses before it alone."""
    n = unit.shape[1]
    counts = np.arange(1, n + 1)
    means = (0.5 + np.cumsum(unit, axis=1)) / (counts + 1)
    variances = (0.25 + np.cumsum((unit - means) ** 2, axis=1)) / (counts + 1)
    before = np.concatenate([np.full((len(unit), 1), 0.25), variances[:, :-1]], axis=1)
    return np.sqrt(2.0 * math.log(1.0 / (1.0 - confidence)) / (n * before))  # type: ignore[no-any-return]
