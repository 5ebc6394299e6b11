from __future__ import annotations

import numpy as np
import pytest
from chemotools.smooth import SavitzkyGolayFilter
from numpy.typing import NDArray
from scipy.signal import savgol_filter

from specnet.errors import AxisError
from specnet.preprocessing import Pipeline, SavitzkyGolay
from specnet.spectra import SpectralAxis


@pytest.mark.parametrize("window", [5, 11, 31, 101])
@pytest.mark.parametrize(("degree", "derivative"), [(0, 0), (2, 0), (2, 1), (3, 1), (3, 2), (4, 3)])
def test_it_agrees_with_scipy_to_the_ends(
    window: int, degree: int, derivative: int, axis: SpectralAxis, spectra: NDArray[np.float32]
) -> None:
    step = SavitzkyGolay(window=window, degree=degree, derivative=derivative)
    expected = savgol_filter(spectra.astype(float), window, degree, derivative, delta=4.0, mode="interp")
    result = Pipeline((step,)).bind(axis)(spectra)
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())


def test_the_window_may_be_the_whole_spectrum(spectra: NDArray[np.float32]) -> None:
    whole = spectra[:, :21]
    result = Pipeline((SavitzkyGolay(window=21, degree=3),)).bind(SpectralAxis.channels(21))(whole)
    np.testing.assert_allclose(result, savgol_filter(whole.astype(float), 21, 3), rtol=1e-5)


def test_it_agrees_with_chemotools(axis: SpectralAxis, spectra: NDArray[np.float32]) -> None:
    expected = SavitzkyGolayFilter(9, 2, mode="interp").fit_transform(spectra)
    result = Pipeline((SavitzkyGolay(window=9, degree=2),)).bind(axis)(spectra)
    np.testing.assert_allclose(result, expected, rtol=1e-5)


@pytest.mark.parametrize("points", [200, 800])
def test_a_derivative_is_per_unit_of_the_axis(points: int) -> None:
    axis = SpectralAxis(np.linspace(400.0, 1400.0, points), "raman_shift")
    parabola = 3e-4 * (axis.values - 600) ** 2 + 1
    result = Pipeline((SavitzkyGolay(derivative=1),)).bind(axis)(parabola)
    np.testing.assert_allclose(result, 6e-4 * (axis.values - 600), atol=1e-5)


def test_a_derivative_on_uneven_points_is_refused_and_smoothing_is_not() -> None:
    axis = SpectralAxis(np.linspace(10, 40, 100) ** 2, "raman_shift")
    with pytest.raises(AxisError, match=r"needs a uniform axis, its steps are 6\.15.* to 24\.1.*resample first"):
        SavitzkyGolay(derivative=1).bind(axis)
    assert SavitzkyGolay().bind(axis).axis == axis


def test_a_window_longer_than_the_axis_is_refused() -> None:
    with pytest.raises(AxisError, match="window of 11 points does not fit into 10 points"):
        SavitzkyGolay().bind(SpectralAxis.channels(10))
