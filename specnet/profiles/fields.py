"""Checks of single fields, each with what was found and what was expected."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from datetime import UTC, datetime

from specnet import ranges
from specnet.errors import ProfileError

MAX_TEXT = 200
MAX_ENTRIES = 256
MAX_INDEX = 63
_BUNDLE_ID = re.compile(r"[0-9a-f]{16}\Z")


def check_range(what: str, value: float, low: float, high: float) -> None:
    """Refuse a number outside of a closed range; `ProfileError`."""
    ranges.check_range(what, value, low, high, ProfileError)


def check_text(what: str, text: str) -> None:
    """Refuse a text that is empty, long or not printable; `ProfileError`."""
    if not 1 <= len(text) <= MAX_TEXT or not text.isprintable():
        raise ProfileError(f"{what} has 1 to {MAX_TEXT} printable characters, got {text[:80]!r} ({len(text)})")


def check_choice(what: str, value: object, choices: Collection[object]) -> None:
    """Refuse a value that is none of the choices; `ProfileError`."""
    if value not in choices:
        raise ProfileError(f"{what} is {' or '.join(map(repr, choices))}, got {value!r}")


def check_created(created: str) -> None:
    """Refuse what is no point in time in ISO 8601 with its zone; `ProfileError`."""
    try:
        moment = datetime.fromisoformat(created)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ProfileError(f"created is a time with its zone such as 2025-01-31T12:00:00+00:00, got {created[:80]!r}")


def check_bundle(bundle: str) -> None:
    """Refuse what is no id of a bundle; `ProfileError`."""
    if not _BUNDLE_ID.match(bundle):
        raise ProfileError(f"bundle is an id of 16 hexadecimal digits, got {bundle[:80]!r}")


def check_indices(what: str, keys: Iterable[str], first: Collection[int]) -> list[int]:
    """Give the numbers of segments that stand as keys; `ProfileError` when they do not run on from one of `first`."""
    keys = list(keys)
    numbers = sorted(int(key) for key in keys if key.isascii() and key.isdigit() and str(int(key[:9])) == key)
    expected = list(range(numbers[0], numbers[0] + len(keys))) if numbers and numbers[0] in first else []
    if not numbers or numbers != expected or numbers[-1] > MAX_INDEX:
        begin = " or ".join(map(str, first))
        raise ProfileError(f"{what} has one entry a segment, counted from {begin}, got {keys[:8]}")
    return numbers


def now() -> str:
    """Present time for the field `created`."""
    return datetime.now(UTC).isoformat(timespec="seconds")
