"""Fitted numbers of a combiner or a score: plain floats, one row an exit."""

from __future__ import annotations

import numpy as np

from specnet.errors import ConfigurationError

MAX_BIAS = 100.0
"""Nats; beyond it a class is the only answer, or none."""
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


def check_biases(biases: Parameters, n_exits: int) -> None:
    """Refuse biases of classes that are not one row an exit, all of one length, each at most `MAX_BIAS` nats.

    Raises
    ------
    ConfigurationError
        With what was found and what was expected.
    """
    lengths = sorted({len(row) for row in biases})
    if biases and (len(biases) != n_exits or len(lengths) != 1 or lengths[0] < 2):
        raise ConfigurationError(
            f"biases are {n_exits} rows (one an exit) of one number a class, got {len(biases)} rows of {lengths}"
        )
    if wrong := [value for row in biases for value in row if not abs(value) <= MAX_BIAS]:
        raise ConfigurationError(f"biases are -{MAX_BIAS:g} to {MAX_BIAS:g} nats, got {wrong[0]}")


def row_of(parameters: Parameters, exit_index: int) -> tuple[float, ...]:
    """Parameters of one exit; empty when there are none."""
    return parameters[exit_index] if parameters else ()
