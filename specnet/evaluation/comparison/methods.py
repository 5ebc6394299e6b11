"""Which methods there are: classical baselines and recipes of networks."""

from __future__ import annotations

from specnet.baselines import list_baselines
from specnet.errors import ConfigurationError
from specnet.training import RECIPES, TrainConfig, find_recipe

DEFAULT_NETWORKS = ("specnet", "static", "pooled", "resnet1d", "msdnet1d")
"""Networks that are compared when none are named; the other recipes are for ablations."""


def list_networks() -> list[str]:
    """Names of the recipes that train a network."""
    return list(RECIPES)


def list_methods() -> list[str]:
    """Names of all methods, the plainest first."""
    return [*list_baselines(), *list_networks()]


def default_methods() -> list[str]:
    """Names of the methods that are compared when none are named: all baselines, and the usual networks."""
    return [*list_baselines(), *DEFAULT_NETWORKS]


def early_exit_methods() -> list[str]:
    """Names of the recipes whose networks have early exits."""
    return [name for name, recipe in RECIPES.items() if not recipe.static]


def check_methods(names: tuple[str, ...]) -> None:
    """Raise `ConfigurationError` for an unknown name, a repeated one, or none at all."""
    known = list_methods()
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise ConfigurationError(f"unknown methods {', '.join(unknown) or '(none given)'}; known: {', '.join(known)}")
    if len(set(names)) < len(names):
        raise ConfigurationError(f"a method is named twice: {', '.join(names)}")


def training_of(name: str, base: TrainConfig) -> str:
    """Name the first method that is trained alike: some differ in what is fitted afterwards, and share a network."""
    config = find_recipe(name).config(base)
    return next(other for other, recipe in RECIPES.items() if recipe.config(base) == config)
