from __future__ import annotations

import numpy as np
import pytest
from chemotools.scale import NormScaler
from chemotools.scatter import StandardNormalVariate as ReferenceVariate
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from specnet.errors import SpectrumError
from specnet.preprocessing import Normalise, Pipeline, StandardNormalVariate
from specnet.spectra import SpectralAxis

Spectra = NDArray[np.float32]
UNEVEN = SpectralAxis(np.linspace(30, 40, 24) ** 2, "wavelength")
varied = arrays(np.float32, (3, 24), elements=st.floats(-1e4, 1e4, width=32)).filter(
    lambda array: bool((np.ptp(array, axis=1) > 1).all())
)


@given(varied)
def test_snv_gives_mean_zero_and_deviation_one(intensity: Spectra) -> None:
    result = Pipeline((StandardNormalVariate(),)).bind(UNEVEN)(intensity).astype(float)
    np.testing.assert_allclose(result.mean(axis=1), 0, atol=1e-5)
    np.testing.assert_allclose(result.std(axis=1), 1, rtol=1e-5)


@given(varied, st.floats(0.01, 100), st.floats(-1000, 1000))
def test_snv_forgets_gain_and_offset(intensity: Spectra, gain: float, offset: float) -> None:
    bound = Pipeline((StandardNormalVariate(),)).bind(UNEVEN)
    changed = gain * intensity.astype(float) + offset
    # what single precision keeps of the changed spectrum limits the agreement
    lost = 1e-6 * np.abs(changed).max() / (gain * intensity.std(axis=1).min())
    np.testing.assert_allclose(bound(changed), bound(intensity), rtol=1e-4, atol=1e-5 + 10 * lost)


@given(varied)
def test_every_norm_becomes_one(intensity: Spectra) -> None:
    vector, area, largest = (
        Pipeline((Normalise(norm=norm),)).bind(UNEVEN)(intensity).astype(float) for norm in ("vector", "area", "max")
    )
    np.testing.assert_allclose(np.linalg.norm(vector, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.trapezoid(np.abs(area), UNEVEN.values, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.abs(largest).max(axis=1), 1, rtol=1e-5)


def test_snv_agrees_with_chemotools(axis: SpectralAxis, spectra: Spectra) -> None:
    result = Pipeline((StandardNormalVariate(),)).bind(axis)(spectra)
    np.testing.assert_allclose(result, ReferenceVariate().fit_transform(spectra.astype(float)), rtol=1e-5, atol=1e-6)


def test_the_vector_norm_agrees_with_chemotools(axis: SpectralAxis, spectra: Spectra) -> None:
    result = Pipeline((Normalise(norm="vector"),)).bind(axis)(spectra)
    np.testing.assert_allclose(result, NormScaler(l_norm=2).fit_transform(spectra.astype(float)), rtol=1e-6)


def test_the_area_does_not_depend_on_the_sampling() -> None:
    bands = []
    for points in (401, 1601):
        x = np.linspace(200, 1800, points)
        bound = Pipeline((Normalise(norm="area"),)).bind(SpectralAxis(x, "raman_shift"))
        bands.append(bound(np.exp(-(((x - 900) / 30) ** 2))).max())
    assert bands[0] == pytest.approx(bands[1], rel=1e-4)


@pytest.mark.parametrize("level", [1e-3, 1.0, 54_321.7])
def test_a_constant_spectrum_cannot_be_scaled_by_its_spread(level: float, axis: SpectralAxis, spectra: Spectra) -> None:
    spectra[[1, 4]] = level
    with pytest.raises(SpectrumError, match="2 of 7 spectra are constant"):
        Pipeline((StandardNormalVariate(),)).bind(axis)(spectra)


def test_rounding_is_no_spectrum(axis: SpectralAxis) -> None:
    level = np.full(axis.n_points, 54_321.7, dtype=np.float32)
    level[::3] = np.nextafter(level[::3], np.float32(np.inf))
    with pytest.raises(SpectrumError, match="1 of 1 spectra are constant"):
        Pipeline((StandardNormalVariate(),)).bind(axis)(level)


@pytest.mark.parametrize("norm", ["vector", "area", "max"])
def test_a_spectrum_that_a_step_made_zero_cannot_be_normalised(norm: str, axis: SpectralAxis, spectra: Spectra) -> None:
    apply = Normalise(norm=norm).bind(axis).apply
    spectra[3] = 0
    with pytest.raises(SpectrumError, match=f"1 of 7 spectra are zero everywhere, no {norm} norm"):
        apply(spectra)
