"""Spots on a grain boundary: the spectrum of a substance with that of one or two others in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MAX_OTHERS = 2


@dataclass(frozen=True)
class Mixing:
    """Which substances are in a spectrum beside the labelled one.

    Attributes
    ----------
    others
        ``(n, 2)`` index of the other substances, -1 for none.
    shares
        ``(n, 2)`` their shares of the Raman signal; the labelled substance has the rest, always the largest part.
    """

    others: NDArray[np.intp]
    shares: NDArray[np.float32]

    @property
    def is_mixture(self) -> NDArray[np.bool_]:
        """``(n,)`` whether there is another substance."""
        return self.others[:, 0] >= 0

    @property
    def secondary_share(self) -> NDArray[np.float32]:
        """``(n,)`` joint share of the others."""
        return np.asarray(self.shares.sum(axis=1), dtype=np.float32)


def draw_mixing(
    labels: NDArray[np.intp],
    families: Sequence[str],
    rng: np.random.Generator,
    *,
    mixture_share: float,
    share_range: tuple[float, float],
    family_share: float,
    three_share: float = 0.25,
) -> Mixing:
    """Draw the other substances of each spectrum.

    Parameters
    ----------
    labels
        ``(n,)`` index of the main substance.
    families
        Name of each class's family.
    rng
        Source of randomness.
    mixture_share
        Share of spectra that are mixtures.
    share_range
        Lowest and highest joint share of the others, below 0.5.
    family_share
        Share of mixtures whose first other substance is of the main one's family, where it has a relative.
    three_share
        Share of mixtures with two others instead of one.
    """
    n = labels.size
    others = np.full((n, MAX_OTHERS), -1, dtype=np.intp)
    shares = np.zeros((n, MAX_OTHERS), dtype=np.float32)
    mixed = np.flatnonzero(rng.random(n) < mixture_share)
    _, family = np.unique(np.asarray(families), return_inverse=True)
    for row in mixed:
        main = labels[row]
        relatives = np.flatnonzero((family == family[main]) & (np.arange(family.size) != main))
        strangers = np.delete(np.arange(family.size), main)
        first = rng.choice(relatives if relatives.size and rng.random() < family_share else strangers)
        total = rng.uniform(*share_range)
        others[row, 0], shares[row, 0] = first, total
        remaining = strangers[strangers != first]
        if remaining.size and rng.random() < three_share:
            part = rng.uniform(0.2, 0.5)
            others[row, 1], shares[row, 1] = rng.choice(remaining), part * total
            shares[row, 0] = (1.0 - part) * total
    return Mixing(others, shares)
