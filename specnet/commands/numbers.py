"""Lists of whole numbers as people write them on a command line."""

from __future__ import annotations

from specnet.errors import ConfigurationError


def distinct_numbers(name: str, text: str) -> tuple[int, ...]:
    """Read numbers with commas between them, each once; `name` is what an error calls them.

    Raises
    ------
    ConfigurationError
        When something else stands there, or a number twice.
    """
    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ConfigurationError(f"{name} are numbers with commas between them such as 0,1,2, got {text!r}") from None
    if len(set(numbers)) < len(numbers):
        raise ConfigurationError(f"{name} are {text!r}, expected each number once")
    return numbers
