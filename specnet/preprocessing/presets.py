"""Pipelines with a name, made for the axis that a model shall have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specnet.errors import ConfigurationError
from specnet.preprocessing.absorbance import Absorbance
from specnet.preprocessing.autoscale import Autoscale
from specnet.preprocessing.compress import Compress
from specnet.preprocessing.despike import Despike
from specnet.preprocessing.grid import is_uniform
from specnet.preprocessing.pipeline import Pipeline
from specnet.preprocessing.resample import Resample
from specnet.preprocessing.savitzky_golay import SavitzkyGolay
from specnet.preprocessing.snip_baseline import SnipBaseline
from specnet.preprocessing.snv import StandardNormalVariate
from specnet.preprocessing.step import Step
from specnet.spectra import Quantity, SpectralAxis

RAMAN_HALF_WIDTH = 50.0
"""Half window of the Raman baseline in 1/cm: wider than bands of solids and tissue, narrower than fluorescence."""


def default_pipeline(axis: SpectralAxis) -> Pipeline:
    """Choose by the quantity: the ``"raman"`` preset for a Raman shift, ``"snv"`` for everything else."""
    return _raman(axis) if axis.quantity is Quantity.RAMAN_SHIFT else _snv(axis)


def pipeline_preset(name: str, axis: SpectralAxis) -> Pipeline:
    """Make the pipeline of a name for a model on `axis`.

    Every preset begins with bringing other instruments' spectra to `axis`, except on an axis of channel numbers,
    which no other instrument shares. ``"none"`` does no more than that; ``"snv"`` scales; ``"raman"`` removes spikes
    and the fluorescence baseline, then scales; ``"derivative"`` takes the first Savitzky-Golay derivative, then
    scales; ``"compressed"`` and ``"raman_compressed"`` are ``"snv"`` and ``"raman"`` with the range of intensities
    compressed before scaling; ``"absorbance"`` makes absorbance of reflectance; ``"auto"`` is `default_pipeline`.
    ``"autoscale"`` and ``"absorbance"`` scale by the training set and need `fit_pipeline`; here they come without that
    step.

    Raises
    ------
    ConfigurationError
        When there is no such preset.
    """
    if name not in PRESETS:
        raise ConfigurationError(f"unknown preprocessing {name!r}; known: {', '.join(list_pipelines())}")
    return PRESETS[name](axis)


def fit_pipeline(name: str, axis: SpectralAxis, intensity: NDArray[Any]) -> Pipeline:
    """Make the pipeline of a name, with the step that is fitted on training spectra ``(n, n_points)`` where it has one.

    Raises
    ------
    ConfigurationError
        When there is no such preset.
    SpectrumError
        When the spectra cannot be preprocessed.
    """
    pipeline = pipeline_preset(name, axis)
    if name not in FITTED:
        return pipeline
    return Pipeline((*pipeline.steps, Autoscale.fit(pipeline.bind(axis)(intensity))))


def suitable_pipelines(axis: SpectralAxis, intensity: NDArray[Any]) -> list[str]:
    """Name the presets worth trying on spectra of this kind, the usual one first.

    Absorbance needs intensities that may be a reflectance: positive, not much over 1, and no Raman shift.
    """
    if axis.quantity is Quantity.RAMAN_SHIFT:
        return ["raman", "snv", "derivative", "autoscale", "compressed", "raman_compressed"]
    low, high = float(np.min(intensity)), float(np.max(intensity))
    reflectance = ["absorbance"] if low > 0.0 and high <= HIGHEST_REFLECTANCE else []
    return ["snv", "autoscale", "derivative", "compressed", *reflectance]


def list_pipelines() -> list[str]:
    """Names of all presets."""
    return list(PRESETS)


def _none(axis: SpectralAxis) -> Pipeline:
    return Pipeline(_to_model_axis(axis))


def _snv(axis: SpectralAxis) -> Pipeline:
    return Pipeline((*_to_model_axis(axis), StandardNormalVariate()))


def _compressed(axis: SpectralAxis) -> Pipeline:
    return Pipeline((*_to_model_axis(axis), Compress(), StandardNormalVariate()))


def _raman_compressed(axis: SpectralAxis) -> Pipeline:
    *steps, last = _raman(axis).steps
    return Pipeline((*steps, Compress(), last))


def _raman(axis: SpectralAxis) -> Pipeline:
    span = float(axis.values[-1] - axis.values[0])
    baseline = SnipBaseline(half_width=min(RAMAN_HALF_WIDTH, span / 8))
    # spikes first: they are a matter of the detector's pixels, and resampling would smear them over their neighbours
    return Pipeline((Despike(), *_to_model_axis(axis), baseline, StandardNormalVariate()))


def _derivative(axis: SpectralAxis) -> Pipeline:
    grid: tuple[Step, ...] = _to_model_axis(axis) if is_uniform(axis) else (Resample.uniform(axis),)
    return Pipeline((*grid, SavitzkyGolay(window=11, degree=2, derivative=1), StandardNormalVariate()))


def _absorbance(axis: SpectralAxis) -> Pipeline:
    return Pipeline((*_to_model_axis(axis), Absorbance()))


def _to_model_axis(axis: SpectralAxis) -> tuple[Step, ...]:
    return () if axis.quantity is Quantity.CHANNEL else (Resample.to(axis),)


PRESETS: dict[str, Callable[[SpectralAxis], Pipeline]] = {
    "auto": default_pipeline,
    "none": _none,
    "snv": _snv,
    "raman": _raman,
    "derivative": _derivative,
    "compressed": _compressed,
    "raman_compressed": _raman_compressed,
    "autoscale": _none,
    "absorbance": _absorbance,
}
"""Makers of the presets by name."""

FITTED = frozenset({"autoscale", "absorbance"})
"""Presets that end with a step fitted on the training spectra."""
HIGHEST_REFLECTANCE = 2.0
"""Over the white reference's 1, since glossy samples exceed it."""
