"""Checks of configured numbers; the message says what was given and what is expected."""

from __future__ import annotations

import math

from specnet.errors import ConfigurationError


def check_lowest(name: str, value: float, lowest: float) -> None:
    """Refuse what is not finite or below `lowest` with a `ConfigurationError`."""
    if not (math.isfinite(value) and value >= lowest):
        raise ConfigurationError(f"{name} is at least {lowest}, got {value}")


def check_range(name: str, values: tuple[float, float], lowest: float, highest: float) -> None:
    """Refuse a range that is descending or not within limits with a `ConfigurationError`."""
    if not (lowest <= values[0] <= values[1] <= highest):
        got = values[0] if values[0] == values[1] else f"{values[0]} to {values[1]}"
        raise ConfigurationError(f"{name} is within {lowest:g} to {highest:g} in ascending order, got {got}")
