"""What depth is worth to one run, in plain words, so that nobody deploys a network where a line will do.

`specnet.evaluation.comparison.worth` says the same of many seeds and folds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from specnet.calibration import CachedLogits
from specnet.errors import ModelError
from specnet.exits import Routing


@dataclass(frozen=True)
class Worth:
    """A calibrated network against its own linear exit 0, on the same spectra.

    Parameters
    ----------
    linear, network
        Accuracy of exit 0 alone, and of what the network answers at its operating point; 0..1.
    gain
        Their difference.
    standard_error
        Of the difference, paired: over spectra, each counted as a trial of its own, although spectra of one sample are
        alike. None for a single spectrum.
    deeper_share
        Share of the spectra that left behind exit 0.
    """

    linear: float
    network: float
    gain: float
    standard_error: float | None
    deeper_share: float

    @property
    def pays(self) -> bool:
        """Whether the network adds more than chance may have."""
        return self.gain > (self.standard_error or 0.0)

    def sentence(self, spectra: str) -> str:
        """Say it of ``"calibration spectra"``, for example."""
        change = "takes away" if self.gain < 0 else "adds"
        spread = "" if self.standard_error is None else f" +- {100 * self.standard_error:.1f}"
        words = (
            f"a linear model (exit 0) is right on {self.linear:.1%} of the {spectra}; the network {change} "
            f"{100 * abs(self.gain):.1f}{spread} points and answers {self.deeper_share:.0%} of them deeper than exit 0"
        )
        return words if self.pays else f"{words}: on these data a line will do"


def worth_of_run(cached: CachedLogits, routing: Routing) -> Worth:
    """Compare the answers of a network whose exit 0 is linear with those of exit 0 alone.

    Parameters
    ----------
    cached
        Logits of n spectra.
    routing
        Where they left, and with which probabilities.

    Raises
    ------
    ModelError
        When the two are not of the same spectra.
    """
    if len(routing.exit_index) != cached.n_spectra:
        raise ModelError(f"logits are of {cached.n_spectra} spectra, the routing of {len(routing.exit_index)}")
    line = (routing.own_probabilities[0].argmax(axis=1) == cached.labels).astype(np.float64)
    deep = (routing.probabilities.argmax(axis=1) == cached.labels).astype(np.float64)
    gains = deep - line
    return Worth(
        linear=float(line.mean()),
        network=float(deep.mean()),
        gain=float(gains.mean()),
        standard_error=float(gains.std(ddof=1) / np.sqrt(len(gains))) if len(gains) > 1 else None,
        deeper_share=float((routing.exit_index > 0).mean()),
    )
