"""What decides how a bottleneck turns out, in one dataclass."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from specnet.errors import ConfigurationError
from specnet.nn import SpecNet
from specnet.nn.bottleneck import BottleneckConfig

PATCHES = 20
"""Patches that the features are cut into where nothing else is said."""


@dataclass(frozen=True)
class BottleneckRecipe:
    """What decides how a bottleneck turns out.

    Parameters
    ----------
    split
        Split point: the device runs segments 0 to this.
    price
        Nats of the loss that a bit costs; more makes messages smaller and answers worse.
    patch
        Positions that are encoded together; 0 for a twentieth of all.
    latent, bits, hidden
        See `specnet.nn.bottleneck.BottleneckConfig`.
    skips_halted
        Whether patches in which every position has halted are not sent.
    epochs
        Passes over the training spectra; 0 for as many as `ENOUGH_STEPS` need, at least `FEWEST_EPOCHS`.
    batch_size, learning_rate
        Adam with a one-cycle schedule.
    seed
        Of initialisation, order, augmentation and noise.
    """

    split: int
    price: float = 1e-3
    patch: int = 0
    latent: int = 8
    bits: int = 5
    hidden: int = 96
    skips_halted: bool = False
    epochs: int = 0
    batch_size: int = 64
    learning_rate: float = 3e-3
    seed: int = 0

    def __post_init__(self) -> None:
        checks = {
            "price": (0 <= self.price < 1, "from 0 to below 1"),
            "patch": (self.patch >= 0, "at least 1, or 0 for a twentieth of the positions"),
            "epochs": (self.epochs >= 0, "at least 1, or 0 for as many as the data need"),
            "batch_size": (self.batch_size >= 1, "at least 1"),
            "learning_rate": (0 < self.learning_rate < 1, "between 0 and 1"),
        }
        for name, (fine, expected) in checks.items():
            if not fine:
                raise ConfigurationError(f"{name} of a bottleneck is {getattr(self, name)}, expected {expected}")

    def shape(self, network: SpecNet) -> BottleneckConfig:
        """Sizes for a network."""
        positions = network.config.positions[self.split - 1]
        return BottleneckConfig(
            positions=positions,
            channels=network.config.widths[self.split - 1],
            patch=self.patch or max(1, -(-positions // PATCHES)),
            latent=self.latent,
            bits=self.bits,
            hidden=self.hidden,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain form for JSON."""
        return asdict(self)
