"""Recipes with a name: the default, and what it is compared with.

Each is a few changes to a `TrainConfig`, so a method is a combination of registered parts and never a trainer of its
own.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from specnet.errors import ConfigurationError
from specnet.training.config import TrainConfig


@dataclass(frozen=True)
class Recipe:
    """Changes to a training configuration, and a sentence that says what for.

    Parameters
    ----------
    text
        What it is.
    changes
        Fields of `TrainConfig`.
    static
        Whether it is judged at its last exit, at its full cost, instead of at an operating point.
    linear_exit
        Whether it is judged with its linear exit 0; published early-exit networks have none.
    """

    text: str
    changes: dict[str, Any] = field(default_factory=dict)
    static: bool = False
    linear_exit: bool = True

    def config(self, base: TrainConfig) -> TrainConfig:
        """Recipe on top of another configuration."""
        return replace(base, **self.changes)


_PLAIN: dict[str, Any] = {
    "adaptivity": "none",
    "additive": False,
    "losses": ("cross_entropy",),
    "distillation": 0.0,
}

RECIPES: dict[str, Recipe] = {
    "specnet": Recipe("the default: position-adaptive depth, a linear exit 0, exits added to it where pilots say so"),
    "static": Recipe(
        "the same network at full depth with a single exit, the last", {**_PLAIN, "phases": "last_exit"}, static=True
    ),
    "pooled": Recipe(
        "equal-weight joint training of exits with globally pooled heads: a plain early-exit network, without exit 0",
        {**_PLAIN, "head": "pooled"},
        linear_exit=False,
    ),
    "joint": Recipe("equal-weight joint training with heads that keep positions", dict(_PLAIN)),
    "distilled": Recipe(
        "joint training with self-distillation",
        {**_PLAIN, "losses": ("cross_entropy", "self_distillation"), "distillation": 0.3},
    ),
    "dfs": Recipe(
        "detached-channel taps (deep feature surgery) with self-distillation",
        {
            **_PLAIN,
            "tap": "channel_split",
            "losses": ("cross_entropy", "self_distillation"),
            "distillation": 0.3,
        },
    ),
    "hints": Recipe(
        "self-distillation with feature hints",
        {
            **_PLAIN,
            "losses": ("cross_entropy", "self_distillation", "feature_hints"),
            "distillation": 0.3,
        },
    ),
    "mixed": Recipe(
        "the last exit first, then all exits with self-distillation",
        {
            **_PLAIN,
            "phases": "mixed",
            "losses": ("cross_entropy", "self_distillation"),
            "distillation": 0.3,
        },
    ),
    "dense": Recipe(
        "the default without adaptive depth",
        {"adaptivity": "none", "losses": ("cross_entropy",)},
    ),
    "sample": Recipe("the default with one depth a spectrum", {"adaptivity": "sample"}),
    "ponder": Recipe(
        "the default with halting mass and a ponder cost",
        {
            "adaptivity": "ponder",
            "losses": ("cross_entropy", "compute_budget", "ponder_cost", "contiguity"),
        },
    ),
    "contiguous": Recipe(
        "the default with distillation from the dense network and a price on scattered positions",
        {
            "losses": ("cross_entropy", "dense_distillation", "compute_budget", "contiguity"),
            "distillation": 0.3,
        },
    ),
    "resnet1d": Recipe(
        "static 1-D residual network of the bacteria-ID kind",
        {**_PLAIN, "preset": "resnet1d", "phases": "last_exit"},
        static=True,
    ),
    "msdnet1d": Recipe("multi-scale dense network with early exits", {**_PLAIN, "preset": "msdnet1d"}),
}


def find_recipe(name: str) -> Recipe:
    """Find a recipe by name; `ConfigurationError` for an unknown one."""
    if name not in RECIPES:
        raise ConfigurationError(f"unknown recipe {name!r}; known: {', '.join(RECIPES)}")
    return RECIPES[name]
