from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from specnet.errors import AxisError, ConfigurationError
from specnet.preprocessing.grid import is_uniform
from specnet.preprocessing.step import BoundStep, Intensity, Step, register_step, require_integer
from specnet.spectra import SpectralAxis

MAX_WINDOW = 1001
MAX_DEGREE = 10


@register_step
class SavitzkyGolay(Step, frozen=True, kw_only=True, tag="savitzky_golay"):
    """Smoothing, or a smoothed derivative, by a least-squares polynomial in a moving window.

    Source: Savitzky, Golay, Analytical Chemistry 36 (1964) 1627; for the ends, where no full window fits, the
    polynomial of the first and last full window is evaluated (Gorry, Analytical Chemistry 62 (1990) 570).

    Parameters
    ----------
    window
        Points in the window, odd.
    degree
        Degree of the polynomial, below `window`.
    derivative
        0 smooths; 1 and 2 give the derivative per unit (unit squared) of the axis.

    Raises
    ------
    ConfigurationError
        For an even window, a degree that the window does not determine, or a derivative over the degree.
    """

    window: int = 11
    degree: int = 2
    derivative: int = 0

    def __post_init__(self) -> None:
        """Validate."""
        require_integer(self, "window", 3, MAX_WINDOW)
        require_integer(self, "degree", 0, MAX_DEGREE)
        require_integer(self, "derivative", 0, MAX_DEGREE)
        if self.window % 2 == 0:
            raise ConfigurationError(f"savitzky_golay: window is odd, got {self.window}")
        if self.degree >= self.window:
            raise ConfigurationError(
                f"savitzky_golay: degree is below the window of {self.window} points, got {self.degree}"
            )
        if self.derivative > self.degree:
            raise ConfigurationError(
                f"savitzky_golay: derivative is at most the degree {self.degree}, got {self.derivative}"
            )

    def bind(self, axis: SpectralAxis) -> BoundStep:
        """Compute the kernel and the matrices of the two ends.

        Raises
        ------
        AxisError
            When the axis is shorter than the window, or a derivative is asked for on an axis that is not uniform.
        """
        if axis.n_points < self.window:
            raise AxisError(
                f"savitzky_golay: a window of {self.window} points does not fit into {axis.n_points} points"
            )
        if self.derivative and not is_uniform(axis):
            steps = np.diff(axis.values)
            raise AxisError(
                f"savitzky_golay: a derivative needs a uniform axis, its steps are {steps.min():g} to {steps.max():g} "
                f"{axis.unit}; resample first"
            )
        delta = float(np.diff(axis.values).mean())
        half = self.window // 2
        rows = _evaluation_rows(self.window, self.degree, self.derivative) / delta**self.derivative
        kernel, head, tail = rows[half], rows[:half], rows[half + 1 :]

        def apply(intensity: Intensity) -> Intensity:
            return _filter(intensity, kernel, head, tail)

        return BoundStep(axis, apply)


def _evaluation_rows(window: int, degree: int, derivative: int) -> NDArray[np.float64]:
    """Matrix ``(window, window)`` whose row i, times the window, is the fit's derivative at point i of the window."""
    half = window // 2
    # positions within -1 .. 1 keep the powers well conditioned; the factor brings the derivative back to points
    positions = np.arange(-half, half + 1) / half
    powers = positions[:, None] ** np.arange(degree + 1)
    coefficients = np.linalg.pinv(powers)
    derived = np.zeros((window, degree + 1))
    for power in range(derivative, degree + 1):
        derived[:, power] = math.perm(power, derivative) * positions ** (power - derivative)
    rows: NDArray[np.float64] = derived @ coefficients / half**derivative
    return rows


def _filter(
    intensity: Intensity, kernel: NDArray[np.float64], head: NDArray[np.float64], tail: NDArray[np.float64]
) -> Intensity:
    window, half = len(kernel), len(kernel) // 2
    n_inner = intensity.shape[1] - window + 1
    double = intensity.astype(np.float64)
    result = np.empty(intensity.shape, dtype=np.float32)
    # one pass per tap over whole rows: faster than a strided matrix product, and the same sum for one row as for many
    total = double[:, :n_inner] * kernel[0]
    term = np.empty_like(total)
    for tap in range(1, window):
        np.multiply(double[:, tap : tap + n_inner], kernel[tap], out=term)
        total += term
    result[:, half : half + n_inner] = total
    result[:, :half] = np.einsum("ij,kj->ik", double[:, :window], head)
    result[:, half + n_inner :] = np.einsum("ij,kj->ik", double[:, -window:], tail)
    return result
