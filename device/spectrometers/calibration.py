"""The polynomial from pixel to wavelength."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from specnet.errors import AxisError


@dataclass(frozen=True)
class WavelengthCalibration:
    """Wavelength of a pixel by a polynomial.

    Parameters
    ----------
    coefficients
        In nm, nm/pixel, nm/pixel^2 and so on, constant term first.
    first_pixel
        Number of the first pixel: 1 on Hamamatsu's test sheets, 0 in the memory of Ocean Optics' instruments.
    """

    coefficients: Sequence[float]
    first_pixel: int = 0

    def wavelengths(self, n_points: int) -> NDArray[np.float64]:
        """Wavelengths ``(n_points,)`` in nm.

        Raises
        ------
        AxisError
            When they are not finite and ascending: damaged coefficients, or those of another instrument.
        """
        pixels = np.arange(self.first_pixel, self.first_pixel + n_points, dtype=np.float64)
        coefficients = np.asarray(self.coefficients, dtype=np.float64)
        values: NDArray[np.float64] = np.polynomial.polynomial.polyval(pixels, coefficients).astype(np.float64)
        if not np.isfinite(values).all() or not (np.diff(values) > 0).all():
            shown = ", ".join(f"{value:g}" for value in self.coefficients)
            raise AxisError(f"coefficients {shown} give no finite, ascending wavelengths over {n_points} pixels")
        return values


def largest_deviation(found: ArrayLike, expected: ArrayLike) -> float:
    """Largest difference of two axes ``(n_points,)`` in pixels of the expected one; infinite for other lengths."""
    found, expected = np.asarray(found, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    if found.shape != expected.shape or found.size < 2:
        return float("inf")
    return float((np.abs(found - expected) / np.abs(np.gradient(expected))).max())
