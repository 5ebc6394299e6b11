"""Where along the spectrum the residual units ran."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specnet.errors import ModelError


@dataclass(frozen=True)
class DepthMaps:
    """Number of residual units that ran at every position, for every stage.

    Parameters
    ----------
    depths
        One array ``(n, P_k)`` a stage.
    units
        Residual units of each stage: the largest depth possible.

    Raises
    ------
    ModelError
        When shapes do not agree or a depth exceeds its stage's units.
    """

    depths: Sequence[NDArray[np.integer[Any]]]
    units: Sequence[int]

    def __post_init__(self) -> None:
        if len(self.depths) != len(self.units) or not self.depths:
            raise ModelError(f"expected one depth map a stage, got {len(self.depths)} for {len(self.units)} stages")
        for stage, (depth, units) in enumerate(zip(self.depths, self.units, strict=True), start=1):
            if depth.ndim != 2 or len(depth) != len(self.depths[0]) or not depth.shape[1]:
                raise ModelError(f"depths of stage {stage} are ({len(self.depths[0])}, positions), got {depth.shape}")
            if depth.size and int(depth.max()) > units:
                raise ModelError(f"a depth of stage {stage} is {int(depth.max())}, the stage has {units} units")

    @property
    def n_spectra(self) -> int:
        """Number of spectra n."""
        return len(self.depths[0])

    def active_share(self, exit_index: NDArray[np.int64]) -> float:
        """Share of unit applications computed in the stages that ran, for spectra leaving at ``exit_index (n,)``.

        Exit k follows stage k, so a spectrum that leaves there has run stages 1..k; exit 0 runs none. Summed over
        spectra before dividing; 0 when no stage with units ran at all.
        """
        done = possible = 0
        for stage, (depth, units) in enumerate(zip(self.depths, self.units, strict=True), start=1):
            ran = exit_index >= stage
            done += int(depth[ran].sum(dtype=np.int64))
            possible += int(ran.sum()) * depth.shape[1] * units
        return done / possible if possible else 0.0
