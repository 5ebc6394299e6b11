"""How much an answer looks like nothing known; more is stranger. Legend: n spectra, C classes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from specnet.exits.probabilities import Float32


def improbability(tempered: Float32, p: Float32) -> Float32:
    """One minus the largest probability ``(n,)`` of the (combined) answer ``p (n, C)`` (Hendrycks and Gimpel 2017)."""
    return 1 - np.maximum.reduce(p, axis=-1)  # type: ignore[no-any-return]


def energy(tempered: Float32, p: Float32) -> Float32:
    """Free energy ``(n,)``, minus the log-sum-exp of the tempered logits ``(n, C)`` of the exit (Liu et al. 2020)."""
    top = tempered.max(axis=-1)
    return -(top + np.log(np.exp(tempered - top[..., np.newaxis]).sum(axis=-1)))  # type: ignore[no-any-return]


REJECT_SCORES: dict[str, Callable[[Float32, Float32], Float32]] = {"improbability": improbability, "energy": energy}
