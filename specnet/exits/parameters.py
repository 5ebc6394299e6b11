"""Fitted numbers of a combiner or a score: plain floats, one row an exit."""

from __future__ import annotations

import numpy as np

from specnet.errors import ConfigurationError

Parameters = tuple[tuple[float, ...], ...]
"""One row an exit; empty for what has nothing to fit."""


def check_parameters(
    what: str, parameters: Parameters, n_exits: int, names: tuple[str, ...], low: float, high: float
) -> None:
    """Refuse parameters that are not one row of the named numbers an exit, each in ``low .. high``.

    Raises
    ------
    ConfigurationError
        With what was found and what was expected.
    """
    rows = n_exits if names else 0
    if len(parameters) != rows or any(len(row) != len(names) for row in parameters):
        found = f"{len(parameters)} rows of {sorted({len(row) for row in parameters})}"
        expected = f"{rows} rows (one an exit) of {', '.join(names)}" if names else "none"
        raise ConfigurationError(f"parameters of {what}: got {found}, expected {expected}")
    if not all(np.isfinite(value) and low <= value <= high for row in parameters for value in row):
        raise ConfigurationError(f"parameters of {what} are {low:g} to {high:g}, got {parameters}")


def row_of(parameters: Parameters, exit_index: int) -> tuple[float, ...]:
    """Parameters of one exit; empty when there are none."""
    return parameters[exit_index] if parameters else ()
