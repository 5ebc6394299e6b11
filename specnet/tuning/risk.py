"""A guarantee for a whole deployment: bottleneck, rounded state and early exits together.

Legend: n spectra, E exits, G points of the grid.
"""

from __future__ import annotations

import numpy as np

from specnet.calibration.betting import refuted
from specnet.calibration.exit_table import ExitTable
from specnet.calibration.risk import confidence_grid
from specnet.errors import ConfigurationError

SEED = 1


def risk_threshold(table: ExitTable, whole: ExitTable, max_risk: float, confidence: float) -> float | None:
    """Find the lowest confidence, the same at all exits, at which the deployment is shown to lose little.

    The loss of a spectrum is 1 where the deployment is wrong and the whole network's last exit right, -1 the other way
    round. Grid points are tested from "never leave early" down and testing stops at the first failure, as in
    `specnet.calibration.risk.control_risk`; but there never leaving early loses nothing, and here it has to be shown
    too, because the deepest answer came through a codec.

    Parameters
    ----------
    table
        Of the deployment's option, on spectra that its policy was fitted on in half; the other half is tested.
    whole
        Of the whole network on one machine, the same spectra.
    max_risk, confidence
        Accuracy that may be lost, above 0 and below 1, and the probability of keeping to it.

    Returns
    -------
    float or None
        The confidence; None when so few spectra, or so lossy a codec, cannot support the promise.

    Raises
    ------
    ConfigurationError
        When a number is out of range.
    """
    if not 0.0 < max_risk < 1.0:
        raise ConfigurationError(f"a risk is a share of spectra above 0 and below 1, got {max_risk}")
    if not 0.0 < confidence < 1.0:
        raise ConfigurationError(f"a confidence is above 0 and below 1, got {confidence}")
    order = np.random.default_rng(SEED).permutation(table.n_spectra)
    choosing, testing = np.array_split(order, 2)
    grid = confidence_grid(_rows(table, choosing))
    held, reference = _rows(table, testing), whole.correct[-1, testing].astype(np.float64)
    rows = np.arange(len(testing))
    losses = np.stack([reference - held.correct[held.outcome((g,) * held.n_exits).exit_index, rows] for g in grid])
    shown = refuted(losses, max_risk, confidence)
    if not losses[0].any():  # never leaving early is the whole network itself
        shown[0] = True
    failures = np.flatnonzero(~shown)
    last = int(failures[0]) - 1 if failures.size else len(grid) - 1
    return float(grid[last]) if last >= 0 else None


def _rows(table: ExitTable, rows: np.ndarray) -> ExitTable:
    return ExitTable(table.scores[:, rows], table.correct[:, rows], table.macs[:, rows])
