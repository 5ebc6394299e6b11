"""How noisy the training spectra are: the level at which an augmentation adds noise.

Legend: n spectra, L points.
"""

from __future__ import annotations

from collections.abc import Callable, Sized
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.ndimage import median_filter
from scipy.stats import median_abs_deviation
from torch import Tensor
from torch.utils.data import Dataset

from specnet.training.augmentation import create_augmentation

Augment = Callable[[Float[Tensor, "batch points"]], Float[Tensor, "batch points"]]
MEASURED_SPECTRA = 512
"""Spectra that the level is measured on; medians over more say the same."""
WINDOW_SHARE = 0.05
"""Of the axis: what the level is smoothed over, far more than a peak is wide."""
_SECOND_DIFFERENCE = 6.0  # variance of e[i-1] - 2 e[i] + e[i+1] for white noise e of variance one


def noise_level(spectra: Float[Tensor, "n points"]) -> Float[Tensor, " points"]:
    r"""Measure the standard deviation of the noise at every point of the axis, on the spectra themselves.

    .. math:: \sigma_p = \mathrm{med}_q\, \frac{\mathrm{med}_i |d_{iq} - \mathrm{med}_j d_{jq}|}{.6745 \sqrt 6},
        \quad d_{iq} = x_{i,q-1} - 2 x_{iq} + x_{i,q+1}, \quad q \text{ near } p

    Second differences hardly see anything broader than three points; what all spectra have in common goes with their
    median, and peaks that differ with the median along the axis, as long as they fill less than half of it. Noise that
    preprocessing has smoothed is correlated from point to point and measured too low; a detector's own is white.

    Parameters
    ----------
    spectra
        Preprocessed spectra ``(n, L)``.

    Returns
    -------
    Tensor
        ``(L,)``, in units of the spectra; 0 everywhere for fewer than three points.

    Notes
    -----
    Of the kind of Gasser, Sroka and Jennen-Steinmetz 1986 (Biometrika 73, 625), with medians in place of means.
    """
    points = spectra.shape[1]
    if points < 3:
        return torch.zeros(points)
    differences = np.diff(spectra.numpy().astype(np.float64), n=2, axis=1)
    spread = median_abs_deviation(differences, axis=0, scale="normal")
    level: NDArray[np.float64] = median_filter(
        spread / _SECOND_DIFFERENCE**0.5, size=max(3, round(WINDOW_SHARE * points)), mode="nearest"
    )
    return torch.from_numpy(np.pad(level, 1, mode="edge").astype(np.float32))


def dataset_noise(data: Dataset[tuple[Tensor, Tensor]]) -> Float[Tensor, " points"]:
    """`noise_level` of a torch dataset, from at most `MEASURED_SPECTRA` of its spectra, evenly spaced."""
    assert isinstance(data, Sized)
    chosen = np.linspace(0, len(data) - 1, min(len(data), MEASURED_SPECTRA)).round().astype(int)
    return noise_level(torch.stack([data[int(index)][0] for index in chosen]))


def augmentation_for(name: str, data: Dataset[tuple[Tensor, Tensor]]) -> Augment:
    """Augmentation of a name, with the noise of these spectra where it asks for it.

    Raises
    ------
    ConfigurationError
        For an unknown name.
    """
    augmentation = create_augmentation(name)
    return partial(augmentation, noise_level=dataset_noise(data)) if augmentation.measured_noise else augmentation
