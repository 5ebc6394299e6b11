"""The early-exit network: exit 0, stem, position-adaptive stages, and a head after each stage.

Legend: B batch, L points, K stages, E = K + 1 exits, C channels, P positions.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from specnet.errors import ModelError
from specnet.nn.config import NetworkConfig
from specnet.nn.heads import ExitHead, LinearExit, create_head
from specnet.nn.relays import carried_rows, load, unload
from specnet.nn.stage import DENSE, HARD, Gating, PositionAdaptiveStage, Stage, StageOutput, create_stage
from specnet.nn.taps import create_tap


@dataclass(frozen=True)
class ExitOutputs:
    """Everything one pass says.

    E logits ``(B, classes)``; for each stage depth ``(B, P)`` and gates ``(B, U, P)``; for each head what its
    classifier looks at ``(B, D)``. A network that learns with its bottleneck adds the logits behind the split for
    decoded features, and the bits that those take ``(B,)``.
    """

    logits: list[Float[Tensor, "batch classes"]]
    depths: list[Int[Tensor, "batch positions"]]
    gates: list[Float[Tensor, "batch units positions"]]
    embeddings: list[Float[Tensor, "batch features"]] = field(default_factory=list)
    coded: list[Float[Tensor, "batch classes"]] = field(default_factory=list)
    bits: list[Float[Tensor, " batch"]] = field(default_factory=list)

    def added(self, offset: Float[Tensor, "batch classes"]) -> ExitOutputs:
        """Add what exit 0 says to all exits behind it: how additive exits are read."""
        return replace(
            self,
            logits=[self.logits[0], *(logits + offset for logits in self.logits[1:])],
            coded=[logits + offset for logits in self.coded],
        )


class SpecNet(nn.Module):
    """Early-exit residual network with position-adaptive depth (after SCAI, arXiv 2206.12420).

    Parameters
    ----------
    config
        What to build; see `specnet.nn.config.PRESETS`.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.exit0 = LinearExit(config)
        self.stem = nn.Conv2d(
            1,
            config.stem_channels,
            (1, config.stem_kernel),
            stride=(1, config.stem_stride),
            padding=(0, config.stem_kernel // 2),
            bias=False,
        )
        self.stem_norm = nn.BatchNorm2d(config.stem_channels)
        self.stages = nn.ModuleList(create_stage(config, index) for index in range(1, config.n_stages + 1))
        self.heads = nn.ModuleList(
            create_head(config, width, positions, index=index)
            for index, (width, positions) in enumerate(zip(config.widths, config.positions, strict=True), start=1)
        )
        self.taps = [create_tap(config, index) for index in range(1, config.n_stages + 1)]
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def any_stage(self, index: int) -> Stage:
        """Stage of segment `index`, 1..K, of whichever kind."""
        stage = self.stages[index - 1]
        assert isinstance(stage, Stage)
        return stage

    def stage(self, index: int) -> PositionAdaptiveStage:
        """Stage of segment `index`, 1..K, of a network whose stages are position-adaptive ones."""
        stage = self.stages[index - 1]
        assert isinstance(stage, PositionAdaptiveStage)
        return stage

    def head(self, index: int) -> ExitHead:
        """Head of exit `index`, 1..K."""
        head = self.heads[index - 1]
        assert isinstance(head, ExitHead)
        return head

    @property
    def n_exits(self) -> int:
        """Number of exits E, the linear one included."""
        return self.config.n_stages + 1

    def forward(self, x: Float[Tensor, "batch 1 points"], gating: Gating = HARD) -> ExitOutputs:
        """All exits of preprocessed spectra."""
        if x.shape[-1] != self.config.n_points:
            raise ModelError(f"got {x.shape[-1]} points, expected {self.config.n_points}")
        outputs = ExitOutputs([self.exit0(x)], [], [])
        features, received = self.run_stem(x), None
        for index, tap in enumerate(self.taps, start=1):
            head = self.head(index)
            output = self.any_stage(index)(features, gating)
            for_head, features = tap(output.features) if self.training else (output.features, output.features)
            self.passed(index, output.features)
            outputs.embeddings.append(head.embed(for_head))
            logits, received = head.answer(outputs.embeddings[-1], received)
            outputs.logits.append(logits)
            outputs.depths.append(output.depth)
            outputs.gates.append(output.gates)
        return outputs

    def passed(self, index: int, features: Float[Tensor, "batch channels 1 positions"]) -> None:
        """Show what stage `index` gives; a network that learns with its bottleneck keeps it."""

    @torch.no_grad()
    def start_from_exit0(self) -> None:
        """Let all heads begin at zero, so that additive exits begin as exit 0 and learn what it leaves over."""
        for index in range(1, self.n_exits):
            self.head(index).classify.weight.zero_()
            self.head(index).classify.bias.zero_()

    def run_stem(self, x: Float[Tensor, "batch 1 points"]) -> Float[Tensor, "batch channels 1 positions"]:
        """Features in front of stage 1."""
        image = x.unsqueeze(2).contiguous(memory_format=torch.channels_last)
        return torch.relu(self.stem_norm(self.stem(image)))

    @torch.no_grad()
    def run_segment(
        self, index: int, features: Float[Tensor, "batch positions channels"]
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Run what lies between two exits, as an exported segment does.

        Parameters
        ----------
        index
            0 for the linear exit, k for stage k with its head.
        features
            Channels-last: the spectrum ``(B, L, 1)`` for segments 0 and 1, else the features that segment
            ``index - 1`` handed on, with what its exit leaves to this one (see `specnet.nn.relays`) in further rows.

        Returns
        -------
        tuple
            Logits ``(B, classes)``, features ``(B, P, C)`` for the next segment or None, depth ``(B, P)`` or None.
        """
        x = features.transpose(1, 2)
        if index == 0:
            return self.exit0(x), None, None
        image, received = (self.run_stem(x), None) if index == 1 else self.unload(features)
        output: StageOutput = self.any_stage(index)(image, HARD)
        head = self.head(index)
        logits, handed = head.answer(head.embed(output.features), received)
        following = None if index == self.config.n_stages else self.load(output.features, handed)
        return logits, following, output.depth

    def load(
        self, image: Float[Tensor, "batch channels 1 positions"], handed: Float[Tensor, "batch handed"] | None
    ) -> Float[Tensor, "batch rows channels"]:
        """Give what is handed from segment to segment, channels-last."""
        return load(image.squeeze(2).transpose(1, 2), handed)

    def unload(
        self, rows: Float[Tensor, "batch rows channels"]
    ) -> tuple[Float[Tensor, "batch channels 1 positions"], Float[Tensor, "batch handed"] | None]:
        """Take apart what `load` gave."""
        features, received = unload(rows, self.handed_size)
        return features.transpose(1, 2).unsqueeze(2), received

    @property
    def handed_size(self) -> int:
        """Numbers that an exit leaves to the next one besides features."""
        relay = self.head(1).relay
        return 0 if relay is None else relay.size

    def handed_shape(self, index: int) -> tuple[int, int]:
        """Rows and channels that segment `index`, 1..K-1, hands on."""
        positions, width = self.config.positions[index - 1], self.config.widths[index - 1]
        return positions + carried_rows(self.handed_size, width), width

    def fixed_macs(self) -> list[int]:
        """MACs of each segment that every spectrum costs: stem, strided and open units, halting scores, heads."""
        config, macs = self.config, [self.exit0.macs]
        for k in range(1, self.n_exits):
            head = self.head(k)
            cost = self.any_stage(k).fixed_macs(config.positions[k - 1]) + head.macs + head.relay_macs
            if k == 1:
                cost += config.stem_positions * self.stem.weight.numel()
            macs.append(cost)
        return macs

    def unit_macs(self) -> list[int]:
        """MACs of one residual unit at one position, for each stage."""
        return [self.any_stage(k).unit_macs for k in range(1, self.n_exits)]

    def static_macs(self) -> int:
        """MACs of the full network up to its last exit: every position, every exit, and dropped units too."""
        config = self.config
        per_stage = zip(self.unit_macs(), config.units, config.dropped_units, config.positions, strict=True)
        depths = sum(macs * (units + dropped) * positions for macs, units, dropped, positions in per_stage)
        return sum(self.fixed_macs()) + depths


__all__ = ["DENSE", "HARD", "ExitOutputs", "Gating", "SpecNet"]
