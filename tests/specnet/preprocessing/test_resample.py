from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from specnet.errors import AxisError, ConfigurationError
from specnet.preprocessing import Pipeline, Resample
from specnet.spectra import SpectralAxis

# a grating's pixels: steps shrink along the axis
PIXELS = SpectralAxis(200 + 1600 * np.linspace(0, 1, 500) ** 0.9, "raman_shift")


def to_grid(start: float, stop: float, points: int, method: str = "linear") -> Resample:
    return Resample(quantity="raman_shift", start=start, stop=stop, points=points, method=method)


def gaussians(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 + np.exp(-(((x - 600) / 30) ** 2)) + 2 * np.exp(-(((x - 1100) / 40) ** 2))


def test_linear_interpolation_agrees_with_numpy() -> None:
    bound = Pipeline((to_grid(210.0, 1790.0, 700),)).bind(PIXELS)
    intensity = np.random.default_rng(1).uniform(100, 1000, 500).astype(np.float32)
    np.testing.assert_allclose(bound(intensity), np.interp(bound.axis.values, PIXELS.values, intensity), rtol=1e-6)


def test_cubic_interpolation_is_exact_for_cubics_and_better_on_bands() -> None:
    cubic = Pipeline((to_grid(210.0, 1790.0, 700, "cubic"),)).bind(PIXELS)
    linear = Pipeline((to_grid(210.0, 1790.0, 700),)).bind(PIXELS)
    x = cubic.axis.values

    def polynomial(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return ((values - 1000) / 400) ** 3 - 2 * ((values - 1000) / 400) ** 2 + 5

    np.testing.assert_allclose(cubic(polynomial(PIXELS.values)), polynomial(x), atol=2e-6)
    errors = [np.abs(bound(gaussians(PIXELS.values)) - gaussians(x)).max() for bound in (cubic, linear)]
    assert errors[0] < errors[1] / 10


def test_downsampling_averages_with_overlap_weights() -> None:
    axis = SpectralAxis(np.arange(10.0), "raman_shift")
    bound = Pipeline((to_grid(1.0, 7.0, 3),)).bind(axis)  # bins -0.5..2.5, 2.5..5.5, 5.5..8.5
    np.testing.assert_allclose(bound(np.arange(10) + 1), [2, 5, 8], rtol=1e-6)
    uneven = Pipeline((to_grid(1.25, 7.25, 4),)).bind(axis)  # bins of width 2 that cut source bins
    intensity = np.random.default_rng(2).uniform(1, 2, 10)
    overlap = np.array(
        [[max(0.0, min(c + 1, i + 0.5) - max(c - 1, i - 0.5)) for i in range(10)] for c in uneven.axis.values]
    )
    np.testing.assert_allclose(uneven(intensity), overlap @ intensity / 2, rtol=1e-6)


def test_downsampling_does_not_alias() -> None:
    """A ripple that is too fast for the target grid disappears; picking points would keep it whole."""
    axis = SpectralAxis(np.arange(0.0, 1000.0), "raman_shift")
    ripple = 10 + np.where(np.arange(1000) % 2, 1.0, -1.0)
    result = Pipeline((to_grid(10.0, 990.0, 99),)).bind(axis)(ripple)
    np.testing.assert_allclose(result, 10, atol=0.11)


@given(points=st.integers(2, 1500), start=st.floats(200, 700), width=st.floats(100, 1100))
def test_a_flat_spectrum_stays_flat_on_every_grid(points: int, start: float, width: float) -> None:
    for method in ("linear", "cubic"):
        bound = Pipeline((to_grid(start, start + width, points, method),)).bind(PIXELS)
        np.testing.assert_allclose(bound(np.full(500, 1234.5)), 1234.5, rtol=1e-6)


@pytest.mark.parametrize("factor", [1e-9, -1e-9])
def test_the_same_grid_passes_intensities_through_unchanged(factor: float) -> None:
    axis = SpectralAxis(np.linspace(200, 1800, 500), "raman_shift")
    noisy = SpectralAxis(axis.values * (1 + factor), "raman_shift")
    intensity = np.random.default_rng(3).uniform(0, 9, 500).astype(np.float32)
    bound = Pipeline((Resample.to(axis),)).bind(noisy)
    np.testing.assert_array_equal(bound(intensity), intensity)
    np.testing.assert_array_equal(bound.axis.values, axis.values)


def test_to_writes_a_uniform_grid_briefly_and_any_other_exactly() -> None:
    assert Resample.to(SpectralAxis(np.linspace(200, 1800, 500), "raman_shift")).values is None
    written = Resample.to(PIXELS)
    assert written.points is None
    assert written.target() == PIXELS


def test_half_a_source_step_may_be_missing_where_the_last_value_holds() -> None:
    axis = SpectralAxis(np.arange(100.0, 200.0, 2.0), "raman_shift")
    for method in ("linear", "cubic"):
        bound = Pipeline((to_grid(99.0, 199.0, 80, method),)).bind(axis)
        result = bound(np.arange(50) + 1.0)
        assert (result[0], result[-1]) == (1.0, 50.0)
    with pytest.raises(AxisError, match=r"resample needs 99 to 200 1/cm, the spectrum covers 100 to 198 1/cm"):
        to_grid(99.0, 200.0, 80).bind(axis)


def test_another_quantity_or_unit_is_refused() -> None:
    step = Resample(quantity="wavelength", unit="nm", start=900.0, stop=1700.0, points=100)
    with pytest.raises(AxisError, match="is raman_shift in 1/cm, expected wavelength in nm"):
        step.bind(PIXELS)
    with pytest.raises(AxisError, match="is wavelength in um, expected wavelength in nm"):
        step.bind(SpectralAxis(np.linspace(0.9, 1.7, 300), "wavelength", "um"))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "give either start, stop and points, or values"),
        ({"start": 1.0, "stop": 2.0}, "points None"),
        ({"start": 1.0, "stop": 2.0, "points": 3, "values": (1.0, 2.0)}, "and 2 values"),
        ({"start": 1.0, "values": (1.0, 2.0)}, "start 1.0"),
        ({"start": 2.0, "stop": 1.0, "points": 3}, "strictly ascending"),
        ({"start": 1.0, "stop": float("inf"), "points": 3}, "stop is a finite number, got inf"),
        ({"start": 1.0, "stop": 2.0, "points": 10**9}, "points is an integer from 2 to 65536, got 1000000000"),
        ({"values": (1.0, 3.0, 2.0)}, "strictly ascending"),
        ({"values": (1.0,)}, "2 to 65536 points"),
        ({"start": 1.0, "stop": 2.0, "points": 3, "unit": "nm"}, "got unit 'nm'"),
        ({"start": 1.0, "stop": 2.0, "points": 3, "method": "spline"}, "method is one of linear, cubic; got 'spline'"),
    ],
)
def test_an_ill_stated_grid_is_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Resample(quantity="raman_shift", **fields)


def test_an_unknown_quantity_in_a_document_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="colour"):
        Pipeline.from_list([{"step": "resample", "quantity": "colour", "start": 1, "stop": 2, "points": 3}])
