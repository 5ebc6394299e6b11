"""Lists of numbers as people write them on a command line."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from specnet.errors import ConfigurationError

N = TypeVar("N", int, float)


def numbers(name: str, text: str, kind: Callable[[str], N] = int) -> tuple[N, ...]:
    """Read numbers with commas between them; parameters and errors as those of `distinct_numbers`."""
    try:
        return tuple(kind(part) for part in text.split(","))
    except ValueError:
        raise ConfigurationError(f"{name} are numbers with commas between them such as 0,1,2, got {text!r}") from None


def distinct_numbers(name: str, text: str, kind: Callable[[str], N] = int) -> tuple[N, ...]:
    """Read numbers with commas between them, each once.

    Parameters
    ----------
    name
        What an error calls them.
    text
        Such as ``0,1,2``.
    kind
        `int` or `float`.

    Raises
    ------
    ConfigurationError
        When something else stands there, or a number twice.
    """
    found = numbers(name, text, kind)
    if len(set(found)) < len(found):
        raise ConfigurationError(f"{name} are {text!r}, expected each number once")
    return found
