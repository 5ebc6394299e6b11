"""A deep ensemble with exits: each further one asks one more network.

Legend: B batch, L points, M members.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from specnet.errors import ModelError
from specnet.nn.baseline_config import MAX_CHANNELS, BaselineConfig
from specnet.nn.network import HARD, ExitOutputs, Gating
from specnet.nn.resnet1d import ResNet1d, ResNet1dConfig


@dataclass(frozen=True)
class Ensemble1dConfig(BaselineConfig):
    """Ensemble of static residual networks.

    Parameters
    ----------
    n_points, n_classes
        Length L of a spectrum on the model's axis, and number of classes.
    members
        Networks M, and with them exits.
    width, stem_channels, layers, blocks, kernel
        Of every member, see `specnet.nn.resnet1d.ResNet1dConfig`.
    """

    members: int = 4
    width: int = 6
    stem_channels: int = 6
    layers: int = 6
    blocks: int = 1
    kernel: int = 5

    kind: ClassVar[str] = "ensemble1d"
    highest: ClassVar[dict[str, int]] = {
        "members": 16,
        "width": MAX_CHANNELS,
        "stem_channels": MAX_CHANNELS,
        "layers": 16,
        "blocks": 64,
        "kernel": 1023,
    }

    @property
    def member(self) -> ResNet1dConfig:
        """What each member is."""
        return ResNet1dConfig(
            n_points=self.n_points,
            n_classes=self.n_classes,
            width=self.width,
            stem_channels=self.stem_channels,
            layers=self.layers,
            blocks=self.blocks,
            kernel=self.kernel,
        )


class Ensemble1d(nn.Module):
    """Deep ensemble (Lakshminarayanan et al. 2017) that is asked one member after the other.

    Members share nothing but the data and its order: they differ by their first weights. Exit k is what member k says
    alone; with the mean log-probability over exits, or the fitted geometric ensemble, it is what k members say
    together. The plain reference for exits that work as an ensemble (DNCC, Zero Time Waste): no feature is used twice.
    By its defaults the members together multiply about as much as our preset `tiny`.

    Parameters
    ----------
    config
        What to build.
    """

    exit0 = None

    def __init__(self, config: Ensemble1dConfig) -> None:
        super().__init__()
        self.config = config
        self.members = nn.ModuleList([ResNet1d(config.member) for _ in range(config.members)])

    def member(self, index: int) -> ResNet1d:
        """Member 0..M-1."""
        member = self.members[index]
        assert isinstance(member, ResNet1d)
        return member

    @property
    def n_exits(self) -> int:
        """One for each member."""
        return self.config.members

    def forward(self, x: Float[Tensor, "batch 1 points"], gating: Gating = HARD) -> ExitOutputs:
        """All members on preprocessed spectra; nothing halts, so `gating` changes nothing."""
        if x.shape[-1] != self.config.n_points:
            raise ModelError(f"got {x.shape[-1]} points, expected {self.config.n_points}")
        logits: list[Tensor] = [self.member(index)(x, gating).logits[0] for index in range(self.n_exits)]
        return ExitOutputs(logits, [], [])

    def fixed_macs(self) -> list[int]:
        """MACs of each member."""
        return [self.member(index).static_macs() for index in range(self.n_exits)]

    def unit_macs(self) -> list[int]:
        """Empty: no stage has units that halt."""
        return []

    def static_macs(self) -> int:
        """MACs of a spectrum that all members see."""
        return sum(self.fixed_macs())
