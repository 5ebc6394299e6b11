"""Augmentations of preprocessed spectra that mean something physically, and their registry.

Spectra are preprocessed (usually standard normal variate), so strengths are in standard deviations of a spectrum and
in points of the model's axis.

Legend: B batch, L points.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from numpy.polynomial.legendre import legvander
from torch import Tensor
from torch.nn import functional

from specnet.errors import ConfigurationError

MIXED = 0.5
"""Share of spectra that are mixed with another one."""
TAILS = 3.0
"""Standard deviations after which a line is cut off."""
NARROWEST = 0.05
"""Points; a line so narrow is a single point."""


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
    measured_noise
        The same in multiples of the noise that the training spectra have at each point, see
        `specnet.training.noise.noise_level`: weaker light, or a shorter exposure.
    slope
        Standard deviation of a smooth background (polynomial of degree 2 over the axis): fluorescence.
    scale
        Standard deviation of the logarithm of a gain.
    mixture
        Largest share, drawn uniformly, of another spectrum of the batch in half of the spectra; less than a half, so
        that the label stays right: impurities and mixtures.
    broadening
        Upper end of the uniformly drawn standard deviation, in points, of a Gaussian line that spectra are convolved
        with: an instrument of lower resolution.
    response
        Standard deviation of the logarithm of a gain that varies smoothly along the axis (polynomial of degree 3):
        the sensitivity of another instrument.
    """

    shift_points: float = 0.0
    stretch: float = 0.0
    noise: float = 0.0
    slope: float = 0.0
    scale: float = 0.0
    mixture: float = 0.0
    broadening: float = 0.0
    response: float = 0.0
    measured_noise: float = 0.0

    def __call__(
        self, spectra: Float[Tensor, "batch points"], noise_level: Float[Tensor, " points"] | None = None
    ) -> Float[Tensor, "batch points"]:
        """Disturbed copies of the spectra: what the sample does first, then the optics, then the detector.

        Raises
        ------
        ConfigurationError
            When noise is to be added at the measured level, and `noise_level` is not given.
        """
        if self.mixture:
            spectra = self._mix(spectra)
        if self.shift_points or self.stretch:
            spectra = self._warp(spectra)
        if self.broadening:
            spectra = self._broaden(spectra)
        if self.response:
            spectra = spectra * torch.exp(self.response * _smooth(spectra, degree=3))
        if self.scale:
            spectra = spectra * torch.exp(self.scale * torch.randn(len(spectra), 1))
        if self.slope:
            spectra = spectra + self._background(spectra)
        if self.noise:
            spectra = spectra + self.noise * torch.rand(len(spectra), 1) * torch.randn_like(spectra)
        if self.measured_noise:
            if noise_level is None:
                raise ConfigurationError("noise at the measured level needs a level, see noise_level; got none")
            strength = self.measured_noise * torch.rand(len(spectra), 1)
            spectra = spectra + strength * noise_level * torch.randn_like(spectra)
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

    def _mix(self, spectra: Float[Tensor, "batch points"]) -> Float[Tensor, "batch points"]:
        """Add another spectrum of the batch to half of them, in shares that add up to one."""
        batch = len(spectra)
        share = self.mixture * torch.rand(batch, 1) * (torch.rand(batch, 1) < MIXED)
        return torch.lerp(spectra, spectra[torch.randperm(batch)], share)

    def _broaden(self, spectra: Float[Tensor, "batch points"]) -> Float[Tensor, "batch points"]:
        """Convolve each spectrum with a line of its own; ends are repeated."""
        batch, points = spectra.shape
        radius = min(math.ceil(TAILS * self.broadening), points - 1)
        width = (self.broadening * torch.rand(batch, 1)).clamp(min=NARROWEST)
        line = functional.softmax(-0.5 * (torch.arange(-radius, radius + 1) / width) ** 2, dim=1)
        padded = functional.pad(spectra[None], (radius, radius), mode="replicate")
        return functional.conv1d(padded, line[:, None], groups=batch)[0]

    def _background(self, spectra: Float[Tensor, "batch points"]) -> Float[Tensor, "batch points"]:
        batch, points = spectra.shape
        x = torch.linspace(-1, 1, points)
        basis = torch.stack([x, x**2 - 1 / 3])
        return self.slope * torch.randn(batch, 2) @ basis


def _smooth(spectra: Float[Tensor, "batch points"], *, degree: int) -> Float[Tensor, "batch points"]:
    """Random Legendre polynomials of degree 1 to `degree`, of variance about one along the axis."""
    batch, points = spectra.shape
    basis = legvander(np.linspace(-1.0, 1.0, points), degree)[:, 1:]
    variances = 1.0 / (2.0 * np.arange(1, degree + 1) + 1.0)
    curves = torch.from_numpy((basis / np.sqrt(degree * variances)).T.astype(np.float32))
    return torch.randn(batch, degree) @ curves


LIGHT = Augmentation(shift_points=1.0, stretch=0.001, noise=0.1, slope=0.05, scale=0.05)
STRONG = Augmentation(shift_points=3.0, stretch=0.004, noise=0.3, slope=0.2, scale=0.1)
AUGMENTATIONS: dict[str, Augmentation] = {
    "none": Augmentation(),
    "light": LIGHT,
    "measured": replace(LIGHT, noise=0.0, measured_noise=3.0),
    "strong": STRONG,
    "full": replace(STRONG, mixture=0.4, broadening=2.0, response=0.15),
}
"""By name. ``full`` is for long trainings: in 1,400 steps on simulated minerals of unseen instruments (preset "hard",
seed 1) it was right on 77.3 % where ``strong`` was on 78.7, and with mixtures alone on 77.5. ``measured`` is ``light``
with up to three times the noise that the spectra have, a fifth of ``light``'s on clean spectra and four times it on
noisy ones: on a fold of RRUFF 63 all exits together were right on 88.4 % instead of 89.4. No pilot tries either."""


def create_augmentation(name: str) -> Augmentation:
    """Find an augmentation by name; `ConfigurationError` for an unknown one."""
    if name not in AUGMENTATIONS:
        raise ConfigurationError(f"unknown augmentation {name!r}; known: {', '.join(AUGMENTATIONS)}")
    return AUGMENTATIONS[name]
