"""Baselines by name."""

from __future__ import annotations

from specnet.baselines.classifier import Baseline
from specnet.errors import ConfigurationError
from specnet.registry import Registry

BASELINES: Registry[type[Baseline]] = Registry("baseline", ConfigurationError)
register_baseline = BASELINES.register


def create_baseline(name: str) -> Baseline:
    """Make the baseline of a name.

    Raises
    ------
    ConfigurationError
        For an unknown name, or when the extra that it needs is not installed.
    """
    return BASELINES.find(name)()


def list_baselines() -> list[str]:
    """Names of all baselines, the plainest first."""
    return list(BASELINES)
