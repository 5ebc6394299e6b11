"""Baselines by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from specnet.baselines.classifier import Baseline
from specnet.errors import ConfigurationError

BASELINES: dict[str, type[Baseline]] = {}
T = TypeVar("T", bound=type[Baseline])


def register_baseline(name: str) -> Callable[[T], T]:
    """Make a baseline available under a name."""

    def register(cls: T) -> T:
        BASELINES[name] = cls
        return cls

    return register


def create_baseline(name: str) -> Baseline:
    """Make the baseline of a name.

    Raises
    ------
    ConfigurationError
        For an unknown name, or when the extra that it needs is not installed.
    """
    if name not in BASELINES:
        raise ConfigurationError(f"unknown baseline {name!r}; known: {', '.join(BASELINES)}")
    return BASELINES[name]()


def list_baselines() -> list[str]:
    """Names of all baselines, the plainest first."""
    return list(BASELINES)
