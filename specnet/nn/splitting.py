"""A network cut in two at a split point: what the device runs, and what the gateway runs.

Legend: B batch, L points, P positions, C channels, s split point (segments 0..s run on the device), K stages.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from specnet.errors import ModelError
from specnet.nn.network import SpecNet
from specnet.nn.stage import HARD, Gating


@dataclass(frozen=True)
class Handover:
    """What is known at a split point.

    Logits ``(B, classes)`` of the exits 0..s; features ``(B, P, C)``, channels-last as they are sent, with what exit s
    leaves to the next one in further rows (see `specnet.nn.relays`); depth ``(B, P)``, the adaptive units that ran in
    stage s.
    """

    logits: list[Float[Tensor, "batch classes"]]
    features: Float[Tensor, "batch positions channels"]
    depth: Int[Tensor, "batch positions"]


def check_split(network: SpecNet, split: int) -> None:
    """Raise `ModelError` when a network has no features to hand over at a split point."""
    if not 1 <= split < network.config.n_stages:
        raise ModelError(f"split is {split}, features are handed over at 1 to {network.config.n_stages - 1}")


def check_bottleneck(network: SpecNet, split: int) -> None:
    """Raise `ModelError` when no bottleneck can be learned for what a network hands over at a split point."""
    check_split(network, split)
    if network.handed_size:
        raise ModelError(
            f"a network with the relay {network.config.relay!r} has no learned bottleneck: some rows of its features "
            "are no positions; expected relay 'none'"
        )


def run_until(
    network: SpecNet, split: int, spectra: Float[Tensor, "batch 1 points"], gating: Gating = HARD
) -> Handover:
    """Run exit 0 and the stages up to a split point."""
    check_split(network, split)
    logits, image, depth = [network.exit0(spectra)], network.run_stem(spectra), torch.zeros(0)
    handed = None
    for index in range(1, split + 1):
        output, head = network.any_stage(index)(image, gating), network.head(index)
        image, depth = output.features, output.depth
        said, handed = head.answer(head.embed(image), handed)
        logits.append(said)
    return Handover(logits, network.load(image, handed), depth)


def run_behind(
    network: SpecNet, split: int, features: Float[Tensor, "batch positions channels"], gating: Gating = HARD
) -> list[Float[Tensor, "batch classes"]]:
    """Logits of the exits behind a split point, from features as they were received."""
    check_split(network, split)
    logits = []
    image, handed = network.unload(features)
    for index in range(split + 1, network.n_exits):
        head = network.head(index)
        image = network.any_stage(index)(image, gating).features
        said, handed = head.answer(head.embed(image), handed)
        logits.append(said)
    return logits
