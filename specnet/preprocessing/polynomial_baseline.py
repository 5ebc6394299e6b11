from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from specnet.errors import AxisError
from specnet.preprocessing.step import (
    BoundStep,
    Intensity,
    Step,
    register_step,
    require_choice,
    require_integer,
    require_positive,
)
from specnet.spectra import SpectralAxis

METHODS = ("modpoly", "least_squares")
MAX_DEGREE = 20
MAX_ITERATIONS = 1000


@register_step
class PolynomialBaseline(Step, frozen=True, kw_only=True, tag="polynomial_baseline"):
    r"""Subtract a polynomial in the axis.

    ``"least_squares"`` fits once and removes what is fitted (detrending). ``"modpoly"`` is the iterative modified
    polynomial of Lieber and Mahadevan-Jansen, Applied Spectroscopy 57 (2003) 1363: with P the projection onto
    polynomials,

    .. math:: b_0 = P y_0, \quad y_{k+1} = \min(y_k, b_k), \quad b_{k+1} = P y_{k+1}

    until :math:`\|b_{k+1} - b_k\| < \text{tolerance} \cdot \|b_k\|`, so peaks are eaten away and the fluorescence
    stays.

    Parameters
    ----------
    degree
        Degree of the polynomial.
    method
        ``"modpoly"`` or ``"least_squares"``.
    max_iterations, tolerance
        Where ``"modpoly"`` stops.

    Raises
    ------
    ConfigurationError
        For a value out of range.
    """

    degree: int = 5
    method: Literal["modpoly", "least_squares"] = "modpoly"
    max_iterations: int = 250
    tolerance: float = 1e-3

    def __post_init__(self) -> None:
        """Validate."""
        require_integer(self, "degree", 0, MAX_DEGREE)
        require_choice(self, "method", METHODS)
        require_integer(self, "max_iterations", 1, MAX_ITERATIONS)
        require_positive(self, "tolerance", 1.0)

    def bind(self, axis: SpectralAxis) -> BoundStep:
        """Compute an orthonormal basis of the polynomials on this axis.

        Raises
        ------
        AxisError
            When the axis has too few points for the degree.
        """
        if axis.n_points < self.degree + 2:
            raise AxisError(
                f"polynomial_baseline: degree {self.degree} needs at least {self.degree + 2} points, "
                f"the axis has {axis.n_points}"
            )
        basis = _orthonormal_basis(axis.values, self.degree)
        iterations = self.max_iterations if self.method == "modpoly" else 0
        tolerance = self.tolerance

        def apply(intensity: Intensity) -> Intensity:
            double = intensity.astype(np.float64)
            return (double - _baseline(double, basis, iterations, tolerance)).astype(np.float32)

        return BoundStep(axis, apply)


def _orthonormal_basis(values: NDArray[np.float64], degree: int) -> NDArray[np.float64]:
    """Orthonormal columns ``(n_points, degree + 1)`` that span the polynomials on the axis."""
    scaled = 2 * (values - values[0]) / (values[-1] - values[0]) - 1
    basis: NDArray[np.float64] = np.linalg.qr(np.polynomial.legendre.legvander(scaled, degree))[0]
    return basis


def _baseline(
    intensity: NDArray[np.float64], basis: NDArray[np.float64], iterations: int, tolerance: float
) -> NDArray[np.float64]:
    """Baselines ``(n_spectra, n_points)``; with no iterations the plain least-squares fit."""
    coefficients = intensity @ basis
    baseline = coefficients @ basis.T
    lowered, active = intensity, np.arange(len(intensity))
    for _ in range(iterations):
        if not active.size:
            break
        lowered = np.minimum(lowered, baseline[active])
        updated = lowered @ basis
        # the basis is orthonormal: the norm of a baseline is the norm of its coefficients
        change = np.linalg.norm(updated - coefficients[active], axis=1)
        going_on = change >= tolerance * np.linalg.norm(coefficients[active], axis=1)
        coefficients[active] = updated
        baseline[active] = updated @ basis.T
        active, lowered = active[going_on], lowered[going_on]
    return baseline
