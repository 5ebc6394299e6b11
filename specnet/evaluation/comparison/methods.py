"""Which methods there are: classical baselines and recipes of networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from specnet.baselines import list_baselines
from specnet.errors import ConfigurationError
from specnet.training import TrainConfig

Recipe = Callable[[TrainConfig], TrainConfig]

NETWORKS: dict[str, Recipe] = {
    "specnet": lambda base: base,
    "static": lambda base: replace(base, adaptivity="none"),
}


def list_networks() -> list[str]:
    """Names of the recipes that train a network."""
    return list(NETWORKS)


def list_methods() -> list[str]:
    """Names of all methods, the plainest first."""
    return [*list_baselines(), *list_networks()]


def check_methods(names: tuple[str, ...]) -> None:
    """Raise `ConfigurationError` for an unknown name, a repeated one, or none at all."""
    known = list_methods()
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise ConfigurationError(f"unknown methods {', '.join(unknown) or '(none given)'}; known: {', '.join(known)}")
    if len(set(names)) < len(names):
        raise ConfigurationError(f"a method is named twice: {', '.join(names)}")


def network_config(name: str, base: TrainConfig) -> TrainConfig:
    """Apply the recipe of a name to a configuration."""
    return NETWORKS[name](base)
