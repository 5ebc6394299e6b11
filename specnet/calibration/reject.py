"""Threshold of the reject rule for a stated rate of false alarms."""

from __future__ import annotations

import math

import msgspec
import numpy as np
from numpy.typing import NDArray

from specnet.errors import ConfigurationError

ALL_KNOWN = 1e30
"""A reject threshold that no score exceeds."""


class RejectControl(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was promised of the reject rule, and on what it rests.

    Parameters
    ----------
    false_alarm
        Largest share of spectra of known classes that is called unknown.
    score
        A name in `specnet.exits.REJECT_SCORES`.
    n_reject
        Spectra that the thresholds were chosen on; nothing else was fitted on them.
    least_false_alarm
        The smallest rate that so many spectra could support; below it nothing is rejected at all.
    """

    false_alarm: float
    score: str
    n_reject: int
    least_false_alarm: float


def conformal_threshold(scores: NDArray[np.float32], false_alarm: float) -> float:
    """Threshold that a new score of the same kind exceeds with probability `false_alarm` at most.

    The ``ceil((n + 1) (1 - false_alarm))``-th smallest score (Vovk et al. 2005): a new one is equally likely to take
    any rank among all n + 1. The probability is over the drawing of both the calibration split and the spectrum.

    Parameters
    ----------
    scores
        ``(n,)`` reject scores of known spectra.
    false_alarm
        Above 0 and below 1.

    Raises
    ------
    ConfigurationError
        When `false_alarm` is out of range.
    """
    if not 0.0 < false_alarm < 1.0:
        raise ConfigurationError(f"a rate of false alarms is above 0 and below 1, got {false_alarm}")
    # rounding must not turn a whole number into the next one
    rank = math.ceil((len(scores) + 1) * (1.0 - false_alarm) - 1e-9)
    return float(np.sort(scores)[rank - 1]) if rank <= len(scores) else ALL_KNOWN
