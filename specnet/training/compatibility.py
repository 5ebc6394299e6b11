"""Losses that must not be added up, and why: what one of them teaches the other takes back."""

from __future__ import annotations

from specnet.errors import ConfigurationError
from specnet.nn.config import NO_RELAY
from specnet.training.config import TrainConfig

LABEL_LOSSES = (
    "cross_entropy",
    "boosted",
    "ramped_cross_entropy",
    "negative_correlation",
    "confidence_gated",
    "confidence_gated_hard",
    "cascade",
    "learned_weights",
)
"""Each says by itself how exits learn the labels, and weighs exits and spectra against each other."""

AGREEMENT_LOSSES = ("self_distillation", "dense_distillation", "feature_hints", "synergy")
"""They pull exits together."""

APART = {
    "negative_correlation": "it pushes exits apart, and these pull them together",
    "boosted": "its exits are corrections to those before them and mean nothing alone, so they cannot be teachers",
}

ALONE = {
    "boosted": "both reuse what earlier exits said, expected one of them",
    "learned_weights": "its pseudo-steps see the exits as they are",
}
"""Losses of exits that stand on their own."""


def check_losses(config: TrainConfig) -> None:
    """Refuse losses that work against each other.

    Raises
    ------
    ConfigurationError
        With the names and the reason.
    """
    losses = config.losses
    if len(set(losses)) < len(losses):
        raise ConfigurationError(f"a loss is named twice: {', '.join(losses)}")
    labels = [name for name in losses if name in LABEL_LOSSES]
    if len(labels) > 1:
        raise ConfigurationError(
            f"losses {', '.join(labels)} do not go together: each says how exits learn the labels, expected one of them"
        )
    for name, reason in APART.items():
        others = [other for other in losses if other in AGREEMENT_LOSSES]
        if name in losses and others:
            raise ConfigurationError(f"loss {name} does not go with {', '.join(others)}: {reason}")
    if "boosted" in losses and config.relay != NO_RELAY:
        raise ConfigurationError(f"loss boosted does not go with the relay {config.relay!r}: {ALONE['boosted']}")
    for name, reason in ALONE.items():
        if name in losses and config.additive:
            raise ConfigurationError(f"loss {name} does not go with exits that are added to exit 0: {reason}")
