"""Augmentations of preprocessed spectra that mean something physically, and their registry.

Spectra are preprocessed (usually standard normal variate), so strengths are in standard deviations of a spectrum and
in points of the model's axis.

Legend: B batch, L points.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from specnet.errors import ConfigurationError


@dataclass(frozen=True)
class Augmentation:
    """Random disturbance of a batch; each part is drawn anew for every spectrum.

    Parameters
    ----------
    shift_points
        Standard deviation of a shift along the axis: calibration error of an instrument.
    stretch
        Standard deviation of a relative stretch about the axis's middle.
    noise
        Upper end of the uniformly drawn standard deviation of white noise: detector noise.
    slope
        Standard deviation of a smooth background (polynomial of degree 2 over the axis): fluorescence.
    scale
        Standard deviation of the logarithm of a gain.
    """

    shift_points: float = 0.0
    stretch: float = 0.0
    noise: float = 0.0
    slope: float = 0.0
    scale: float = 0.0

    def __call__(self, spectra: Float[Tensor, "batch points"]) -> Float[Tensor, "batch points"]:
        """Disturbed copies of the spectra."""
        if self.shift_points or self.stretch:
            spectra = self._warp(spectra)
        if self.scale:
            spectra = spectra * torch.exp(self.scale * torch.randn(len(spectra), 1))
        if self.slope:
            spectra = spectra + self._background(spectra)
        if self.noise:
            spectra = spectra + self.noise * torch.rand(len(spectra), 1) * torch.randn_like(spectra)
        return spectra

    def _warp(self, spectra: Float[Tensor, "batch points"]) -> Float[Tensor, "batch points"]:
        """Linear interpolation at shifted and stretched positions; ends are repeated."""
        batch, points = spectra.shape
        centred = torch.arange(points) - (points - 1) / 2
        stretch = 1.0 + self.stretch * torch.randn(batch, 1)
        shift = self.shift_points * torch.randn(batch, 1)
        positions = (centred * stretch + shift + (points - 1) / 2).clamp(0, points - 1)
        left = positions.floor().long().clamp(max=points - 2)
        weight = positions - left
        return spectra.gather(1, left) * (1 - weight) + spectra.gather(1, left + 1) * weight

    def _background(self, spectra: Float[Tensor, "batch points"]) -> Float[Tensor, "batch points"]:
        batch, points = spectra.shape
        x = torch.linspace(-1, 1, points)
        basis = torch.stack([x, x**2 - 1 / 3])
        return self.slope * torch.randn(batch, 2) @ basis


AUGMENTATIONS: dict[str, Augmentation] = {
    "none": Augmentation(),
    "light": Augmentation(shift_points=1.0, stretch=0.001, noise=0.1, slope=0.05, scale=0.05),
    "strong": Augmentation(shift_points=3.0, stretch=0.004, noise=0.3, slope=0.2, scale=0.1),
}


def create_augmentation(name: str) -> Augmentation:
    """Find an augmentation by name; `ConfigurationError` for an unknown one."""
    if name not in AUGMENTATIONS:
        raise ConfigurationError(f"unknown augmentation {name!r}; known: {', '.join(AUGMENTATIONS)}")
    return AUGMENTATIONS[name]
