"""Pipelines with a name, made for the axis that a model shall have."""

from __future__ import annotations

from collections.abc import Callable

from specnet.errors import ConfigurationError
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
    scales; ``"auto"`` is `default_pipeline`.

    Raises
    ------
    ConfigurationError
        When there is no such preset.
    """
    if name not in PRESETS:
        raise ConfigurationError(f"unknown preprocessing {name!r}; known: {', '.join(list_pipelines())}")
    return PRESETS[name](axis)


def list_pipelines() -> list[str]:
    """Names of all presets."""
    return list(PRESETS)


def _none(axis: SpectralAxis) -> Pipeline:
    return Pipeline(_to_model_axis(axis))


def _snv(axis: SpectralAxis) -> Pipeline:
    return Pipeline((*_to_model_axis(axis), StandardNormalVariate()))


def _raman(axis: SpectralAxis) -> Pipeline:
    span = float(axis.values[-1] - axis.values[0])
    baseline = SnipBaseline(half_width=min(RAMAN_HALF_WIDTH, span / 8))
    # spikes first: they are a matter of the detector's pixels, and resampling would smear them over their neighbours
    return Pipeline((Despike(), *_to_model_axis(axis), baseline, StandardNormalVariate()))


def _derivative(axis: SpectralAxis) -> Pipeline:
    grid: tuple[Step, ...] = _to_model_axis(axis) if is_uniform(axis) else (Resample.uniform(axis),)
    return Pipeline((*grid, SavitzkyGolay(window=11, degree=2, derivative=1), StandardNormalVariate()))


def _to_model_axis(axis: SpectralAxis) -> tuple[Step, ...]:
    return () if axis.quantity is Quantity.CHANNEL else (Resample.to(axis),)


PRESETS: dict[str, Callable[[SpectralAxis], Pipeline]] = {
    "auto": default_pipeline,
    "none": _none,
    "snv": _snv,
    "raman": _raman,
    "derivative": _derivative,
}
"""Makers of the presets by name."""
