"""The outcome of one thing that was tried."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """One thing that was tried."""

    what: str
    passed: bool
    detail: str
