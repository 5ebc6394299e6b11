"""Networks whose positions halt where their input says so, to measure what a unit costs at a given active share.

Weights are random but for the way of one channel from the input to the halting scores: a position is active where that
channel is 1. What is measured is therefore the exported network itself, gates, gathering and scattering included.

Legend: P positions, C channels, U units.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from specnet.nn import PRESETS, SpecNet, create_model
from specnet.nn.halting import SMOOTH

N_CLASSES = 30
MAX_RUNS = 4
"""Runs of active positions; learned masks had 4.7 on average (measured on trained networks)."""
SHORTEST_RUN = SMOOTH // 2 + 1
"""Shorter runs would not survive the smoothing of halting scores."""


def steered_network(preset: str, n_points: int, block: str, units: int, *, adaptive: bool, seed: int = 0) -> SpecNet:
    """Build a preset with another block and the same number of units in every stage.

    Parameters
    ----------
    preset
        One of `specnet.nn.PRESETS`.
    n_points
        Length of a spectrum.
    block
        One of `specnet.nn.BLOCKS`.
    units
        Residual units of every stage, in place of the preset's own.
    adaptive
        Whether positions halt as their input says; False runs every unit everywhere.
    seed
        Of the random weights.

    Raises
    ------
    ModelError
        When the preset or the block is unknown or the spectrum too short.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = create_model(
            preset,
            n_points=n_points,
            n_classes=N_CLASSES,
            block=block,
            units=(units,) * len(PRESETS[preset]["widths"]) if preset in PRESETS else (),
            adaptivity="gate" if adaptive else "none",
        )
    assert isinstance(network, SpecNet)
    _steer(network)
    return network.eval()


@torch.no_grad()
def _steer(network: SpecNet) -> None:
    """Let channel 0 of every layer carry the input's first channel on to the halting scores."""
    _pass_through(network.stem, network.config.stem_kernel // 2)
    for index in range(1, network.config.n_stages + 1):
        stage = network.stage(index)
        _pass_through(stage.merge, 0)
        if stage.halting is not None:
            score = stage.halting.score
            assert score.bias is not None
            score.weight.zero_()
            score.weight[:, 0] = 1.0
            score.bias.fill_(-0.5)


def _pass_through(layer: nn.Conv2d, tap: int) -> None:
    layer.weight[0] = 0.0
    layer.weight[0, 0, 0, tap] = 1.0


def run_mask(positions: int, share: float) -> NDArray[np.bool_]:
    """Mask ``(positions,)`` with about this share of active positions, in at most `MAX_RUNS` runs of equal length."""
    wanted = min(positions, max(SHORTEST_RUN, round(share * positions))) if share > 0 else 0
    runs = max(1, min(MAX_RUNS, wanted // (2 * SHORTEST_RUN), (positions - wanted) // (2 * SHORTEST_RUN)))
    mask = np.zeros(positions, dtype=bool)
    for run in range(runs):
        begin, end = run * positions // runs, (run + 1) * positions // runs
        length = (run + 1) * wanted // runs - run * wanted // runs
        first = begin + (end - begin - length) // 2
        mask[first : first + length] = True
    return mask


def steering_input(network: SpecNet, segment: int, share: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Features ``(1, P, C)`` for a segment that leave about this share of its stage's positions active.

    Parameters
    ----------
    network
        What `steered_network` built.
    segment
        1..K.
    share
        Active share of positions.
    rng
        For the other channels.
    """
    config = network.config
    mask = run_mask(config.positions[segment - 1], share)
    if segment == 1:
        stride = 2 * config.stem_stride  # the stem keeps every stride-th point, the strided unit the first of two
        points = np.repeat(mask, stride)[: config.n_points]
        return points.astype(np.float32)[np.newaxis, :, np.newaxis]
    entering = config.positions[segment - 2]
    features = rng.random((1, entering, config.widths[segment - 2]), dtype=np.float32)
    features[0, :, 0] = np.repeat(mask, 2)[:entering]
    return features
