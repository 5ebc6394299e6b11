"""Numbers that have to be in a closed range."""

from __future__ import annotations

from specnet.errors import ConfigurationError, SpecnetError


def check_range(
    what: str, value: float, low: float, high: float, error: type[SpecnetError] = ConfigurationError
) -> None:
    """Refuse a number outside of a closed range.

    Raises
    ------
    SpecnetError
        Of the class `error`, naming what it is, the range and the value.
    """
    # written so that NaN fails too
    if not low <= value <= high:
        raise error(f"{what} is from {low:.15g} to {high:.15g}, got {value!r}")
