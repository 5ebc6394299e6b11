from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from specnet.errors import SpectrumError
from specnet.preprocessing.step import BoundStep, Intensity, Step, register_step, require_choice
from specnet.spectra import SpectralAxis

NORMS = ("vector", "area", "max")


@register_step
class Normalise(Step, frozen=True, kw_only=True, tag="normalise"):
    r"""Divide every spectrum by a norm of its own.

    Parameters
    ----------
    norm
        ``"vector"``: :math:`\sqrt{\sum_i y_i^2}`; ``"area"``: :math:`\int |y|\,dx` by the trapezoidal rule, so that the
        result does not depend on how densely an instrument samples; ``"max"``: :math:`\max_i |y_i|`.

    Raises
    ------
    ConfigurationError
        For another norm.
    """

    norm: Literal["vector", "area", "max"] = "vector"

    def __post_init__(self) -> None:
        """Validate."""
        require_choice(self, "norm", NORMS)

    def bind(self, axis: SpectralAxis) -> BoundStep:
        """Compute the weights of the area. `apply` raises `SpectrumError` when a norm is zero."""
        weights = _trapezoid_weights(axis.values)
        norm = self.norm

        def apply(intensity: Intensity) -> Intensity:
            size = _size(intensity, norm, weights)
            if not size.all():
                raise SpectrumError(
                    f"normalise: {int((size == 0).sum())} of {len(size)} spectra are zero everywhere, no {norm} norm"
                )
            return (intensity / size[:, None]).astype(np.float32)

        return BoundStep(axis, apply)


def _size(intensity: Intensity, norm: str, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Norm of each spectrum ``(n_spectra,)``."""
    magnitude = np.abs(intensity.astype(np.float64))
    size: NDArray[np.float64]
    if norm == "max":
        size = magnitude.max(axis=1)
    # below einsum and not a matrix product: the sum of one spectrum must not depend on how many stand beside it
    elif norm == "area":
        size = np.einsum("ij,j->i", magnitude, weights)
    else:
        size = np.sqrt(np.einsum("ij,ij->i", magnitude, magnitude))
    return size


def _trapezoid_weights(values: NDArray[np.float64]) -> NDArray[np.float64]:
    halves = np.diff(values) / 2
    weights = np.zeros_like(values)
    weights[:-1] += halves
    weights[1:] += halves
    return weights
