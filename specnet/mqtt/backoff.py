"""Pauses between connection attempts."""

from __future__ import annotations

import random

STABLE_S = 10.0


class BackOff:
    """Exponential back-off with jitter, so that a fleet does not return to a restarted broker in one instant.

    Parameters
    ----------
    minimum_s, maximum_s
        Bounds of the pause before jitter, in seconds.
    generator
        Source of the jitter.
    """

    def __init__(self, minimum_s: float, maximum_s: float, generator: random.Random) -> None:
        self._minimum_s = minimum_s
        self._maximum_s = maximum_s
        self._generator = generator
        self._attempts = 0

    def after(self, lasted_s: float) -> float:
        """Give the pause after a connection that stood for `lasted_s` seconds (0: it never did).

        Only a connection that lasted some seconds counts as a success: two clients with one identifier throw each
        other out for ever, and must not do so without a pause.
        """
        if lasted_s >= STABLE_S:
            self._attempts = 0
        # the exponent is capped because 2.0**1100 overflows after a long weekend without a broker
        pause = min(self._maximum_s, self._minimum_s * 2.0 ** min(self._attempts, 32))
        self._attempts += 1
        return pause * self._generator.uniform(0.5, 1.0)
