"""Raman bands as pseudo-Voigt profiles.

Legend: n spectra, P bands of a spectrum (padded with zero height), L points of the axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from specnet.datasets.simulation.minerals import Mineral

Floats: TypeAlias = NDArray[np.floating[Any]]

_LN2 = float(np.log(2.0))


@dataclass(frozen=True)
class Bands:
    """Bands of n spectra, each array ``(n, P)``.

    Attributes
    ----------
    position
        1/cm.
    height
        Relative height of the undisturbed line, 0 for padding.
    lorentzian
        FWHM of the Lorentzian part (lifetime), 1/cm.
    gaussian
        FWHM of the Gaussian part (disorder, strain, instrument), 1/cm.
    """

    position: Floats
    height: Floats
    lorentzian: Floats
    gaussian: Floats

    @classmethod
    def of_minerals(cls, minerals: Sequence[Mineral]) -> Bands:
        """Bands of the table, one row per mineral; the width is Lorentzian, as it is in a good crystal."""
        most = max(len(mineral.peaks) for mineral in minerals)
        position, height, width = (np.zeros((len(minerals), most)) for _ in range(3))
        width[:] = 1.0
        for row, mineral in enumerate(minerals):
            for column, peak in enumerate(mineral.peaks):
                position[row, column] = peak.position
                height[row, column] = peak.intensity
                width[row, column] = peak.width
        return cls(position, height, width, np.zeros_like(width))

    def take(self, rows: NDArray[np.intp]) -> Bands:
        """Bands of some rows, in the order of `rows`."""
        return Bands(self.position[rows], self.height[rows], self.lorentzian[rows], self.gaussian[rows])


def thompson_cox_hastings(gaussian: Floats, lorentzian: Floats) -> tuple[Floats, Floats]:
    """FWHM and Lorentzian share (of the height) of the pseudo-Voigt nearest to a Voigt profile.

    Parameters
    ----------
    gaussian, lorentzian
        FWHM of the two parts, any shape; not both zero.

    Returns
    -------
    fwhm, eta
        Of the same shape, as `pseudo_voigt` takes them. The profile is within 1.5 % of the Voigt profile's height.

    Notes
    -----
    Thompson P., Cox D. E., Hastings J. B. (1987) J. Appl. Cryst. 20, 79-83, doi:10.1107/S0021889887087090. Their share
    is one of the *area*; of the height the Lorentzian has less, because its wings hold more area.
    """
    g, w = np.asarray(gaussian, dtype=np.float64), np.asarray(lorentzian, dtype=np.float64)
    fifth = g**5 + 2.69269 * g**4 * w + 2.42843 * g**3 * w**2 + 4.47163 * g**2 * w**3 + 0.07842 * g * w**4 + w**5
    fwhm = fifth**0.2
    ratio = w / fwhm
    of_area = 1.36603 * ratio - 0.47719 * ratio**2 + 0.11116 * ratio**3
    lorentz_height, gauss_height = of_area / np.pi, (1.0 - of_area) * np.sqrt(_LN2 / np.pi)
    return fwhm, lorentz_height / (lorentz_height + gauss_height)


def pseudo_voigt(offset: Floats, fwhm: Floats, eta: Floats) -> Floats:
    """Profile of height 1: ``eta`` Lorentzian plus ``1 - eta`` Gaussian, both of the same FWHM.

    Parameters
    ----------
    offset
        Distance from the centre, 1/cm.
    fwhm, eta
        Broadcast against `offset`.
    """
    squared = (2.0 * offset / fwhm) ** 2
    profile: Floats = eta / (1.0 + squared) + (1.0 - eta) * np.exp(-_LN2 * squared)
    return profile


def pseudo_voigt_area(fwhm: Floats, eta: Floats) -> Floats:
    """Area under `pseudo_voigt`: ``fwhm / 2 * (eta * pi + (1 - eta) * sqrt(pi / ln 2))``."""
    area: Floats = 0.5 * fwhm * (eta * np.pi + (1.0 - eta) * np.sqrt(np.pi / _LN2))
    return area


def render(bands: Bands, axis: Floats) -> NDArray[np.float32]:
    """Noise-free spectra ``(n, L)``: the sum of their bands.

    Broadening keeps the *area* of a band, so a coarse instrument lowers narrow bands more than broad ones. The height
    in `bands` is that of the undisturbed Lorentzian line.
    """
    fwhm, eta = thompson_cox_hastings(bands.gaussian, bands.lorentzian)
    undisturbed = pseudo_voigt_area(bands.lorentzian, np.ones_like(bands.lorentzian))
    height = (bands.height * undisturbed / pseudo_voigt_area(fwhm, eta)).astype(np.float32)
    spectra = np.zeros((len(height), len(axis)), dtype=np.float32)
    points = np.asarray(axis, dtype=np.float32)
    position, fwhm, eta = (array.astype(np.float32)[..., None] for array in (bands.position, fwhm, eta))
    # one band column at a time: (n, P, L) would not fit a cache, nor memory for large n
    for column in range(height.shape[1]):
        used = np.flatnonzero(height[:, column])
        profile = pseudo_voigt(points - position[used, column], fwhm[used, column], eta[used, column])
        spectra[used] += height[used, column, None] * profile
    return spectra


def to_unit_maximum(spectra: Floats) -> NDArray[np.float32]:
    """Spectra ``(n, L)`` scaled so that the strongest point of each is 1."""
    return np.asarray(spectra / spectra.max(axis=-1, keepdims=True), dtype=np.float32)
