"""Checks of the fields that many messages have.

They raise ValueError, which msgspec turns into a ValidationError while decoding.
"""

from __future__ import annotations

from specnet.wire.topics import NAME

MAX_TEXT = 500
MAX_COUNTER = 2**53 - 1


def require(condition: bool, message: str, *values: object) -> None:
    """Raise ValueError when the condition does not hold; the message is formatted with the values only then."""
    if not condition:
        raise ValueError(message.format(*values) if values else message)


def require_names(**names: str) -> None:
    """Check names that may become topic levels."""
    for what, name in names.items():
        if NAME.match(name) is None:
            raise ValueError(f"{what} is 1 to 64 of letters, digits, '_', '.', '-'; got {name[:80]!r}")


def require_counters(**counters: int) -> None:
    """Check counters: 0 to 2**53 - 1, which every language can hold."""
    for what, value in counters.items():
        if not 0 <= value <= MAX_COUNTER:
            raise ValueError(f"{what} is 0 to {MAX_COUNTER}, got {value}")


def require_text(**texts: str) -> None:
    """Check the length of texts."""
    for what, text in texts.items():
        if len(text) > MAX_TEXT:
            raise ValueError(f"{what} has {len(text)} characters, at most {MAX_TEXT}")
