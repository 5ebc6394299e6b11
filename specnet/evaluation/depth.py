"""Where along the spectrum the residual units ran, and how much of it on peaks.

Legend: n spectra, C classes, L points of the model's axis, P positions of a stage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specnet.errors import ModelError


@dataclass(frozen=True)
class ComputeOnPeaks:
    """How much of the residual units' computation went to peaks.

    Parameters
    ----------
    peak_share_of_positions
        Share of the positions that peaks cover, 0..1: what peaks would get at full depth everywhere.
    share_of_unit_macs_on_peaks
        Share of the executed MACs of residual units that were spent there, 0..1.
    enrichment
        The second over the first: above 1 when peaks get more than the flat parts of a spectrum.
    """

    peak_share_of_positions: float
    share_of_unit_macs_on_peaks: float
    enrichment: float


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

    def compute_on_peaks(
        self,
        regions: NDArray[np.bool_],
        labels: NDArray[np.int64],
        unit_macs: Sequence[int],
        exit_index: NDArray[np.int64],
    ) -> ComputeOnPeaks | None:
        """Compare what residual units spent on peaks with how much of the spectrum peaks are.

        Only stages that ran until the exit taken count. A position of a stage stands for a stretch of the axis and
        counts as a peak by the share of that stretch's points that are on one.

        Parameters
        ----------
        regions
            ``(C, L)``: points of the model's axis that are on a band of each class.
        labels
            ``(n,)`` true classes.
        unit_macs
            MACs of one residual unit at one position, for each stage.
        exit_index
            ``(n,)`` exits taken.

        Returns
        -------
        ComputeOnPeaks or None
            None when no unit ran, or no spectrum that ran any has peaks.

        Raises
        ------
        ModelError
            When shapes do not agree.
        """
        if regions.ndim != 2 or labels.shape != (self.n_spectra,) or exit_index.shape != (self.n_spectra,):
            raise ModelError(
                f"expected regions (classes, points) and labels and exits ({self.n_spectra},), got {regions.shape}, "
                f"{labels.shape} and {exit_index.shape}"
            )
        if len(unit_macs) != len(self.units):
            raise ModelError(f"expected the MACs of a unit for {len(self.units)} stages, got {len(unit_macs)}")
        spent = on_peaks = possible = possible_on_peaks = 0.0
        for stage, (depth, units, macs) in enumerate(zip(self.depths, self.units, unit_macs, strict=True), start=1):
            ran = exit_index >= stage
            covered = peak_cover(regions, depth.shape[1])[labels[ran]]
            spent += macs * float(depth[ran].sum(dtype=np.int64))
            on_peaks += macs * float((depth[ran] * covered).sum())
            possible += macs * units * covered.size
            possible_on_peaks += macs * units * float(covered.sum())
        if not spent or not possible_on_peaks:
            return None
        positions, computed = possible_on_peaks / possible, on_peaks / spent
        return ComputeOnPeaks(positions, computed, computed / positions)


def peak_cover(regions: NDArray[np.bool_], n_positions: int) -> NDArray[np.float64]:
    """Share ``(C, P)`` of each position's points that are on a peak; positions divide the points evenly."""
    n_points = regions.shape[1]
    position = np.minimum(np.arange(n_points) * n_positions // n_points, n_positions - 1)
    counts = np.bincount(position, minlength=n_positions)
    cover = np.zeros((len(regions), n_positions))
    for covered, row in zip(cover, regions, strict=True):
        covered[:] = np.bincount(position, weights=row, minlength=n_positions)
    cover /= np.maximum(counts, 1)
    return cover
