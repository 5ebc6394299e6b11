from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray
from pybaselines import Baseline
from pybaselines.utils import pad_edges
from scipy.signal import detrend

from specnet.errors import AxisError
from specnet.preprocessing import Pipeline, PolynomialBaseline, SnipBaseline
from specnet.spectra import SpectralAxis

Spectra = NDArray[np.float32]


@pytest.mark.parametrize("degree", [0, 2, 5, 9])
def test_modpoly_agrees_with_pybaselines(degree: int, axis: SpectralAxis, spectra: Spectra) -> None:
    step = PolynomialBaseline(degree=degree, tolerance=1e-3, max_iterations=250)
    result = Pipeline((step,)).bind(axis)(spectra)
    fitter = Baseline(axis.values)
    for row, corrected in zip(spectra.astype(float), result, strict=True):
        baseline = fitter.modpoly(row, poly_order=degree, tol=1e-3, max_iter=250)[0]
        np.testing.assert_allclose(corrected, row - baseline, atol=1e-5 * row.max())


def test_modpoly_stops_at_its_limit_of_iterations(axis: SpectralAxis, spectra: Spectra) -> None:
    step = PolynomialBaseline(tolerance=1e-9, max_iterations=4)
    row = spectra[0].astype(float)
    baseline = Baseline(axis.values).modpoly(row, poly_order=5, tol=1e-9, max_iter=4)[0]
    np.testing.assert_allclose(Pipeline((step,)).bind(axis)(row), row - baseline, atol=1e-5 * row.max())


def test_least_squares_agrees_with_scipy_and_numpy(axis: SpectralAxis, spectra: Spectra) -> None:
    line = Pipeline((PolynomialBaseline(degree=1, method="least_squares"),)).bind(axis)(spectra)
    np.testing.assert_allclose(line, detrend(spectra.astype(float), axis=1), atol=1e-3)
    cubic = Pipeline((PolynomialBaseline(degree=3, method="least_squares"),)).bind(axis)(spectra[0])
    fit = np.polynomial.Polynomial.fit(axis.values, spectra[0].astype(float), 3)
    np.testing.assert_allclose(cubic, spectra[0] - fit(axis.values), atol=1e-3)


def test_a_polynomial_background_goes_and_the_bands_stay(axis: SpectralAxis) -> None:
    x = axis.values
    bands = 1000 * np.exp(-(((x - 700) / 15) ** 2)) + 600 * np.exp(-(((x - 1300) / 20) ** 2))
    background = 5000 - 2 * (x - 200) + 1e-3 * (x - 200) ** 2
    step = PolynomialBaseline(degree=2, tolerance=1e-6, max_iterations=1000)
    result = Pipeline((step,)).bind(axis)(bands + background)
    np.testing.assert_allclose(result, bands, atol=20)


def test_a_degree_that_the_points_do_not_determine_is_refused() -> None:
    with pytest.raises(AxisError, match="degree 5 needs at least 7 points, the axis has 6"):
        PolynomialBaseline().bind(SpectralAxis.channels(6))


@pytest.mark.parametrize("decreasing", [True, False])
@pytest.mark.parametrize("half_window", [1, 5, 30])
def test_snip_agrees_with_pybaselines(half_window: int, decreasing: bool, axis: SpectralAxis, spectra: Spectra) -> None:
    """pybaselines lengthens the spectrum at both ends; given the same longer spectrum the results are the same."""
    row = spectra[0].astype(float)
    longer = pad_edges(row, half_window, mode="extrapolate")
    first, step = axis.values[0], axis.values[1] - axis.values[0]
    long_axis = SpectralAxis(first + step * np.arange(-half_window, row.size + half_window), "raman_shift")
    snip = SnipBaseline(half_width=half_window * step, decreasing=decreasing)
    result = Pipeline((snip,)).bind(long_axis)(longer)[half_window:-half_window]
    baseline = Baseline().snip(
        row, max_half_window=half_window, decreasing=decreasing, pad_kwargs={"mode": "extrapolate"}
    )[0]
    np.testing.assert_allclose(result, row - baseline, atol=1e-5 * row.max())


def test_single_spectra_of_many_threads_do_not_touch_each_other(axis: SpectralAxis, spectra: Spectra) -> None:
    bound = Pipeline((SnipBaseline(half_width=12.0),)).bind(axis)
    expected = bound(spectra)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(bound, [row for _ in range(200) for row in spectra]))
    np.testing.assert_array_equal(
        np.reshape(found, (200, *expected.shape)), np.broadcast_to(expected, (200, *expected.shape))
    )


def test_snip_on_the_log_scale_is_snip_of_transformed_counts(axis: SpectralAxis, spectra: Spectra) -> None:
    double = spectra.astype(float)
    transformed = np.log(np.log(np.sqrt(double + 1) + 1) + 1)
    plain = Pipeline((SnipBaseline(half_width=60.0),)).bind(axis)
    baseline = transformed - plain(transformed)
    expected = double - ((np.exp(np.exp(baseline) - 1) - 1) ** 2 - 1)
    result = Pipeline((SnipBaseline(half_width=60.0, log_scale=True),)).bind(axis)(spectra)
    # the expectation itself passes through single precision
    np.testing.assert_allclose(result, expected, atol=1e-4 * double.max())


def test_snip_on_the_log_scale_takes_spectra_below_zero(axis: SpectralAxis, spectra: Spectra) -> None:
    bound = Pipeline((SnipBaseline(half_width=60.0, log_scale=True),)).bind(axis)
    lowered = spectra - spectra.min(axis=1, keepdims=True)
    np.testing.assert_allclose(bound(lowered - 5000), bound(lowered), atol=0.5)


def test_the_half_width_means_the_same_on_a_denser_axis() -> None:
    results = []
    for points in (401, 1601):
        x = np.linspace(200, 1800, points)
        intensity = 100 + 0.05 * x + 1000 * np.exp(-(((x - 900) / 15) ** 2))
        bound = Pipeline((SnipBaseline(half_width=50.0),)).bind(SpectralAxis(x, "raman_shift"))
        results.append(bound(intensity)[:: (points - 1) // 400])
    np.testing.assert_allclose(results[0], results[1], atol=5)
    assert results[0].max() == pytest.approx(1000, rel=0.02)


def test_a_half_width_that_does_not_fit_is_refused(axis: SpectralAxis) -> None:
    with pytest.raises(AxisError, match="half_width 1000 1/cm is 250 points at a step of 4; at most 200 fit into 401"):
        SnipBaseline(half_width=1000.0).bind(axis)
    with pytest.raises(AxisError, match="at most 1000 fit"):
        SnipBaseline(half_width=1500.0).bind(SpectralAxis.channels(10_000))
