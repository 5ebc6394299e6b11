from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray

from specnet.errors import AxisError, ConfigurationError
from specnet.preprocessing import (
    Compress,
    Pipeline,
    default_pipeline,
    fit_pipeline,
    list_pipelines,
    pipeline_preset,
    suitable_pipelines,
)
from specnet.preprocessing.step import step_name
from specnet.spectra import SpectralAxis

UNEVEN = SpectralAxis(np.linspace(30.0, 42.0, 300) ** 2, "wavelength")
CHANNELS = SpectralAxis.channels(128)


def names(pipeline: Pipeline) -> list[str]:
    return [step_name(step) for step in pipeline.steps]


@pytest.mark.parametrize("name", list_pipelines())
@pytest.mark.parametrize("kind", ["raman", "uneven", "channels"])
def test_every_preset_works_on_every_kind_of_axis(name: str, kind: str, axis: SpectralAxis) -> None:
    model_axis = {"raman": axis, "uneven": UNEVEN, "channels": CHANNELS}[kind]
    pipeline = pipeline_preset(name, model_axis)
    assert Pipeline.from_list(json.loads(json.dumps(pipeline.to_list()))) == pipeline
    bound = pipeline.bind(model_axis)
    assert bound.axis.n_points == model_axis.n_points
    result = bound(np.random.default_rng(1).uniform(10, 500, (3, model_axis.n_points)))
    assert result.shape == (3, model_axis.n_points)


def test_the_default_follows_the_quantity(axis: SpectralAxis) -> None:
    assert names(default_pipeline(axis)) == ["despike", "resample", "snip_baseline", "snv"]
    assert names(default_pipeline(UNEVEN)) == ["resample", "snv"]
    assert names(default_pipeline(CHANNELS)) == ["snv"]
    assert pipeline_preset("auto", axis) == default_pipeline(axis)
    assert names(pipeline_preset("none", CHANNELS)) == []


def test_two_instruments_give_nearly_the_same_spectrum(axis: SpectralAxis) -> None:
    def measure(values: NDArray[np.float64]) -> NDArray[np.float64]:
        bands = [(520, 12, 900), (1001, 14, 2500), (1450, 25, 1200)]
        background = 500 + 1500 * np.exp(-(((values - 800) / 700) ** 2))
        return background + sum(height * np.exp(-(((values - c) / w) ** 2)) for c, w, height in bands)

    other = SpectralAxis(190 + 1650 * np.linspace(0, 1, 1024) ** 0.95, "raman_shift")
    pipeline = default_pipeline(axis)
    home, away = pipeline.bind(axis), pipeline.bind(other)
    assert home.axis == away.axis
    np.testing.assert_allclose(away(measure(other.values)), home(measure(axis.values)), atol=0.1)


def test_an_instrument_that_does_not_cover_the_model_is_refused(axis: SpectralAxis) -> None:
    short = SpectralAxis(np.linspace(400, 1800, 300), "raman_shift")
    with pytest.raises(AxisError, match="needs 200 to 1800 1/cm, the spectrum covers 400 to 1800 1/cm"):
        default_pipeline(axis).bind(short)


def test_an_unknown_preset_is_refused_with_the_known_ones(axis: SpectralAxis) -> None:
    with pytest.raises(ConfigurationError, match="unknown preprocessing 'magic'; known: auto, none, snv, raman, deriv"):
        pipeline_preset("magic", axis)


def test_importing_it_loads_nothing_heavy() -> None:
    code = (
        "import sys, specnet.preprocessing;"
        "print([name for name in ('torch', 'scipy', 'sklearn', 'h5py', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def reflectance() -> NDArray[np.float32]:
    generator = np.random.default_rng(3)
    return generator.uniform(0.2, 0.9, (20, CHANNELS.n_points)).astype(np.float32)


def test_absorbance_is_offered_where_intensities_may_be_a_reflectance() -> None:
    assert "absorbance" in suitable_pipelines(CHANNELS, reflectance())
    assert "absorbance" not in suitable_pipelines(CHANNELS, 1000 * reflectance())
    assert "absorbance" not in suitable_pipelines(CHANNELS, reflectance() - 0.5)
    raman = SpectralAxis(np.linspace(200.0, 1800.0, 128), "raman_shift")
    assert suitable_pipelines(raman, reflectance())[0] == "raman"
    assert "absorbance" not in suitable_pipelines(raman, reflectance())


@pytest.mark.parametrize("name", ["autoscale", "absorbance"])
def test_fitted_presets_give_the_training_spectra_mean_zero_and_spread_one(name: str) -> None:
    spectra = reflectance()
    spectra[:, 7] = 0.5  # a point that never changes
    scaled = fit_pipeline(name, CHANNELS, spectra).bind(CHANNELS)(spectra)
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-5)
    spread = scaled.std(axis=0)
    assert spread[7] == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(np.delete(spread, 7), 1, rtol=1e-3)


def test_absorbance_is_the_negative_logarithm() -> None:
    step = pipeline_preset("absorbance", CHANNELS).steps[-1]
    out = step.bind(CHANNELS).apply(np.array([[1.0, 0.1, 0.0, -3.0]], np.float32))
    np.testing.assert_allclose(out, [[0.0, 1.0, 4.0, 4.0]], atol=1e-6)


def test_compression_is_linear_near_zero_and_logarithmic_far_above_the_level() -> None:
    step = Compress(level=2.0)
    spectrum = np.array([[1e-3, -1e-3, 1.0, -1.0, 1.0, 1e4, 1e6]], np.float32)  # the median of the magnitudes is 1
    out = step.bind(SpectralAxis.channels(7)).apply(spectrum)[0]
    np.testing.assert_allclose(out[:2], [5e-4, -5e-4], rtol=1e-4)
    assert out[6] - out[5] == pytest.approx(np.log(100), rel=1e-5)
    flat = step.bind(SpectralAxis.channels(7)).apply(np.zeros((1, 7), np.float32))
    assert not flat.any()
