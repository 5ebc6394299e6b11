"""From photo-electrons to counts: shot noise, cosmic rays, read noise and a 16-bit converter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FULL_SCALE = 65_535
COSMIC_ELECTRONS = (300.0, 30_000.0)
MAX_COSMIC_POINTS = 3


@dataclass(frozen=True)
class Detector:
    """Camera and analogue-digital converter.

    Attributes
    ----------
    electrons_per_count
        Gain: photo-electrons per count.
    read_noise
        Standard deviation in electrons.
    offset_counts
        Counts in the dark.
    """

    electrons_per_count: float
    read_noise: float
    offset_counts: float

    @property
    def full_well(self) -> float:
        """Electrons at full scale of the converter."""
        return (FULL_SCALE - self.offset_counts) * self.electrons_per_count


def limit_exposure(
    expected: NDArray[np.float32], full_well: NDArray[np.float64], share: float = 0.8
) -> NDArray[np.float64]:
    """Factors ``(n,)`` <= 1 that keep the highest expected point below a share of full scale, as any user would."""
    highest = expected.max(axis=1).astype(np.float64)
    return np.asarray(np.minimum(1.0, share * full_well / np.maximum(highest, 1e-12)), dtype=np.float64)


def cosmic_rays(n: int, n_points: int, mean: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw electrons ``(n, n_points)`` of cosmic rays: a Poisson number of spikes per spectrum, 1 to 3 points wide.

    Parameters
    ----------
    n, n_points
        Size.
    mean
        Mean number of spikes per spectrum.
    rng
        Source of randomness.
    """
    electrons = np.zeros((n, n_points), dtype=np.float32)
    rows = np.repeat(np.arange(n), rng.poisson(mean, n))
    start = rng.integers(0, n_points, rows.size)
    width = rng.integers(1, MAX_COSMIC_POINTS + 1, rows.size)
    energy = np.exp(rng.uniform(np.log(COSMIC_ELECTRONS[0]), np.log(COSMIC_ELECTRONS[1]), rows.size))
    for step in range(MAX_COSMIC_POINTS):
        hit = (width > step) & (start + step < n_points)
        np.add.at(electrons, (rows[hit], start[hit] + step), (energy / 2.0**step)[hit])
    return electrons


def expose(
    expected: NDArray[np.float32],
    cosmic: NDArray[np.float32],
    detectors: tuple[Detector, ...],
    instrument: NDArray[np.intp],
    rng: np.random.Generator,
) -> NDArray[np.uint16]:
    """Expose the cameras and convert to counts.

    Parameters
    ----------
    expected
        ``(n, n_points)`` mean photo-electrons.
    cosmic
        ``(n, n_points)`` electrons of cosmic rays.
    detectors
        The cameras.
    instrument
        ``(n,)`` which camera took which row.
    rng
        Source of randomness.

    Returns
    -------
    ndarray ``(n, n_points)`` uint16
        0 to 65,535; a point over full scale stays at full scale.
    """
    gain = np.array([detector.electrons_per_count for detector in detectors])[instrument, None]
    noise = np.array([detector.read_noise for detector in detectors], dtype=np.float32)[instrument, None]
    offset = np.array([detector.offset_counts for detector in detectors])[instrument, None]
    electrons = rng.poisson(expected) + cosmic
    electrons += noise * rng.standard_normal(expected.shape, dtype=np.float32)
    return np.asarray(np.clip(np.rint(electrons / gain + offset), 0, FULL_SCALE), dtype=np.uint16)
