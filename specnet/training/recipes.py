"""Recipes with a name: the default, and what it is compared with.

Each is a few changes to a `TrainConfig`, so a method is a combination of registered parts and never a trainer of its
own.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from specnet.errors import ConfigurationError
from specnet.training.config import AUTO, TrainConfig


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
    score, combiner
        Confidence that calibration compares with thresholds, a name in `specnet.exits.SCORES`, and what exits answer
        together, one in `specnet.exits.COMBINERS`; ``auto`` is the one that suits the calibration spectra best.
    """

    text: str
    changes: dict[str, Any] = field(default_factory=dict)
    static: bool = False
    linear_exit: bool = True
    score: str = "max_probability"
    combiner: str = AUTO

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
    "boostnet": Recipe(
        "additive exits that learn what those before them leave over, with rescaled gradients (BoostNet)",
        {**_PLAIN, "losses": ("boosted",), "tap": "gradient_rescale"},
    ),
    "dncc": Recipe("exits as an ensemble, by negative correlation", {**_PLAIN, "losses": ("negative_correlation",)}),
    "dks": Recipe(
        "every exit learns from every other one (knowledge synergy)", {**_PLAIN, "losses": ("cross_entropy", "synergy")}
    ),
    "cgt": Recipe("confidence-gated training, soft", {**_PLAIN, "losses": ("confidence_gated",)}),
    "cgt_hard": Recipe("confidence-gated training, hard", {**_PLAIN, "losses": ("confidence_gated_hard",)}),
    "l2w": Recipe(
        "weights of spectra at exits, learned by what they do to exits as they are used (L2W-DEN)",
        {**_PLAIN, "losses": ("learned_weights",)},
    ),
    "quicknets": Recipe(
        "stage after stage, each on the spectra that those before it have not answered (QuickNets)",
        {**_PLAIN, "losses": ("cascade",), "phases": "stagewise"},
        score="gate",
    ),
    "ztw": Recipe(
        "a frozen backbone whose exits see what the exit before said, answering together (Zero Time Waste)",
        {**_PLAIN, "relay": "cascade", "phases": "heads"},
        combiner="geometric",
    ),
    "lsanet": Recipe(
        "exits that attend to the features of all exits so far, and learn from each other (LSANet)",
        {**_PLAIN, "relay": "attention", "losses": ("cross_entropy", "synergy")},
    ),
    "sdn": Recipe(
        "shallow-deep network: pooled heads whose losses are ramped up, without exit 0",
        {**_PLAIN, "head": "pooled", "losses": ("ramped_cross_entropy",)},
        linear_exit=False,
    ),
    "branchynet": Recipe(
        "pooled heads, joint training, and entropy as what lets a spectrum leave, without exit 0 (BranchyNet)",
        {**_PLAIN, "head": "pooled"},
        linear_exit=False,
        score="negentropy",
    ),
    "jei": Recipe(
        "joint training, and gates that weigh what an exit loses against what going on costs (JEI-DNN)",
        dict(_PLAIN),
        score="joint_gate",
    ),
    "eenet": Recipe(
        "joint training, and scores that know what exits before said, with a share of spectra for each exit (EENet)",
        dict(_PLAIN),
        score="schedule",
    ),
    "patience": Recipe(
        "joint training, and exits that agree as what lets a spectrum leave (PABEE)", dict(_PLAIN), score="patience"
    ),
    "product": Recipe(
        "joint training, and answers that only ever rule classes out (product anytime)",
        dict(_PLAIN),
        combiner="product",
    ),
    "ghost": Recipe("the default with C-Ghost blocks", {"block": "ghost"}),
    "g_ghost": Recipe(
        "joint training of G-Ghost stages: between first and last unit half of the channels are cheap",
        {**_PLAIN, "stage": "g_ghost"},
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
    "boosted": Recipe(
        "the default with exits that learn what those before them leave over",
        {"losses": ("boosted", "compute_budget"), "tap": "gradient_rescale"},
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
    "ensemble": Recipe(
        "deep ensemble: four small networks that share nothing, asked one after the other",
        {**_PLAIN, "preset": "ensemble1d"},
    ),
    "msdnet1d": Recipe("multi-scale dense network with early exits", {**_PLAIN, "preset": "msdnet1d"}),
}


def find_recipe(name: str) -> Recipe:
    """Find a recipe by the name of its method; `ConfigurationError` for an unknown one."""
    if name not in RECIPES:
        raise ConfigurationError(f"unknown method {name!r}; known: {', '.join(RECIPES)}")
    return RECIPES[name]


def list_methods() -> dict[str, str]:
    """Names of the methods that `specnet train --method` knows, and what each is."""
    return {name: recipe.text for name, recipe in RECIPES.items()}
