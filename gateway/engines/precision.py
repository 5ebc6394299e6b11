"""Which numbers a bundle is computed in: half precision where its own self-test allows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from specnet.errors import BundleIntegrityError

FLOAT32 = "float32"
HALF = ("float16", "bfloat16")
"""The first has eight times finer steps; the second holds numbers over 65,504, where the first says infinity."""


@dataclass(frozen=True)
class Choice:
    """What was chosen, and why nothing before it was."""

    precision: str
    refused: tuple[str, ...]


def candidates(setting: str) -> tuple[str, ...]:
    """List what to try for a setting, in order: half precision first for ``auto``."""
    return (*HALF, FLOAT32) if setting == "auto" else (setting,)


def choose_precision(tried: Sequence[str], test: Callable[[str], object]) -> Choice:
    """Take the first precision whose test passes.

    Parameters
    ----------
    tried
        In order; the last one is taken without a test, since the engine is checked with it anyway.
    test
        Makes the bundle ready in this precision and runs its self-test, which raises `BundleIntegrityError` when the
        logits deviate too much.
    """
    refused: list[str] = []
    for precision in tried[:-1]:
        try:
            test(precision)
        except BundleIntegrityError as error:
            refused.append(f"{precision}: {error}")
        else:
            return Choice(precision, tuple(refused))
    return Choice(tried[-1], tuple(refused))
