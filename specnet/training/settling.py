"""What gates decided once and for all: units that run everywhere lose their gates, units that never run are left out.

A budget on compute often switches whole units (a trained `tiny` has its first stage open at every position and its last
one closed at every position). Gathering all rows, running them and adding them back then takes twice the time of the
same unit without gates, and a closed unit still costs its scores. So after training, where a gate says the same
practically always, the decision is built into the network.

Legend: n spectra, L points, U units.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from specnet.nn import HARD, SpecNet
from specnet.nn.halting import PonderMass
from specnet.nn.protocol import ExitNetwork

OPEN = 0.75
"""Share of active positions from which a unit runs everywhere: skipping a quarter of the rows saves no time."""
CLOSED = 0.01
"""Share of active positions up to which a unit is left out."""
SPECTRA = 1024
"""Training spectra, spread evenly over all, that are looked at."""
BATCH = 256
Shares = list[NDArray[np.float64]]


def settle(network: ExitNetwork, data: Dataset[tuple[Tensor, Tensor]]) -> ExitNetwork:
    """Build the decisions of gates that hardly ever change into a network.

    Parameters
    ----------
    network
        Trained; it is left as it is.
    data
        Preprocessed training spectra ``(L,)`` with labels: they tell which units run.

    Returns
    -------
    ExitNetwork
        In evaluation mode, with `open_units` and `dropped_units` in its configuration; the network itself where there
        is nothing to settle.
    """
    if not isinstance(network, SpecNet) or not network.config.adaptive:
        return network
    config, shares = network.config, active_shares(network, data)
    opened = [_leading(network, k, share) for k, share in enumerate(shares, start=1)]
    kept = [int((share > CLOSED).sum()) for share in shares]  # gates never grow from unit to unit
    units = tuple(max(0, keep - front) for keep, front in zip(kept, opened, strict=True))
    if units == config.units:
        return network
    changed = replace(
        config,
        units=units,
        open_units=tuple(a + b for a, b in zip(config.open_units, opened, strict=True)),
        dropped_units=tuple(
            dropped + before - front - left
            for dropped, before, front, left in zip(config.dropped_units, config.units, opened, units, strict=True)
        ),
    )
    settled = SpecNet(changed)
    settled.load_state_dict(_moved(network, settled, opened))
    return settled.eval()


def active_shares(network: SpecNet, data: Dataset[tuple[Tensor, Tensor]]) -> Shares:
    """Share ``(U,)`` of positions at which each unit of each stage runs, mean over at most `SPECTRA` spectra."""
    network.eval()
    total: Shares = [np.zeros(units) for units in network.config.units]
    n = 0
    with torch.no_grad():
        for batch in _batches(data):
            outputs = network(batch[:, None], HARD)
            for share, gates in zip(total, outputs.gates, strict=True):
                share += (gates > 0).double().mean(dim=2).sum(dim=0).numpy()
            n += len(batch)
    return [share / max(n, 1) for share in total]


def _batches(data: Dataset[tuple[Tensor, Tensor]]) -> Iterator[Tensor]:
    size = len(data)  # type: ignore[arg-type]
    rows = np.unique(np.linspace(0, size - 1, min(size, SPECTRA)).astype(int))
    for start in range(0, len(rows), BATCH):
        yield torch.stack([data[int(row)][0] for row in rows[start : start + BATCH]])


def _leading(network: SpecNet, stage: int, share: NDArray[np.float64]) -> int:
    """Units at the front of a stage whose gates can go; masses scale their branches and have to stay."""
    if isinstance(network.stage(stage).halting, PonderMass):
        return 0
    return int((share >= OPEN).sum())


def _moved(network: SpecNet, settled: SpecNet, opened: list[int]) -> dict[str, Tensor]:
    """Weights under the names that they have in the settled network."""
    old, found = network.state_dict(), {}
    before = network.config.open_units
    for name, like in settled.state_dict().items():
        parts = name.split(".")
        if parts[0] == "stages" and len(parts) > 3 and parts[2] in ("open_units", "units"):
            k, index = int(parts[1]), int(parts[3])
            if parts[2] == "units":
                parts[3] = str(index + opened[k])
            elif index >= before[k]:
                parts[2:4] = ["units", str(index - before[k])]
        tensor = old[".".join(parts)]
        if parts[0] == "stages" and parts[2] == "halting":  # scores of the units that are left
            first = opened[int(parts[1])]
            tensor = tensor[first : first + len(like)]
        found[name] = tensor
    return found
