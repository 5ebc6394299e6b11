from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn

from device.spectrometers.averaging import ScanAverage
from device.spectrometers.bad_pixels import BadPixels, find_bad_pixels
from device.spectrometers.calibration import WavelengthCalibration, largest_deviation
from device.spectrometers.corrections import correct_detector
from device.spectrometers.quality import UNUSABLE, Quality, judge_saturation, judge_signal
from specnet.errors import AxisError, ConfigurationError, SpectrometerError


@given(stn.arrays(np.float64, st.tuples(st.integers(2, 20), st.integers(2, 9)), elements=st.floats(0, 65_535)))
def test_the_mean_and_noise_of_scans(scans: np.ndarray) -> None:
    average = ScanAverage(scans.shape[1])
    for scan in scans:
        average.add(scan)
    np.testing.assert_allclose(average.mean, scans.mean(axis=0), rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(average.noise, scans.std(axis=0, ddof=1), rtol=1e-6, atol=1e-4)


def test_one_scan_has_no_noise_that_could_be_told() -> None:
    average = ScanAverage(3)
    average.add(np.array([1, 2, 3]))
    assert np.isnan(average.noise).all()


def test_bad_pixels_are_filled_in_from_the_nearest_good_ones() -> None:
    repaired = BadPixels([0, 3, 4, 7], 8).repair([9999, 10, 20, 0, 9999, 50, 60, 0])
    np.testing.assert_allclose(repaired, [10, 10, 20, 30, 40, 50, 60, 60])


@pytest.mark.parametrize(("pixels", "n"), [([8], 8), ([-1], 8), (range(7), 8)])
def test_bad_pixels_that_cannot_be(pixels: list[int], n: int) -> None:
    with pytest.raises(ConfigurationError):
        BadPixels(pixels, n)


def test_hot_and_dead_pixels_are_found_and_nothing_else() -> None:
    generator = np.random.default_rng(0)
    slope = np.linspace(0, 300, 200)  # a dark current that grows along the detector is no fault
    scans = 500 + slope + generator.normal(0, 5, (32, 200))
    scans[:, 40] += 900
    scans[:, 41] += 400
    scans[:, 120] = 512.0
    found = find_bad_pixels(scans.mean(axis=0), scans.std(axis=0, ddof=1), 32)
    assert found == (40, 41, 120)
    assert find_bad_pixels(scans[0], np.full(200, np.nan), 1) in ((40, 41), (40,))


def test_a_spectrum_with_light_has_no_hot_pixels() -> None:
    comb = np.where(np.arange(200) % 8 == 0, 20_000.0, 500.0)
    assert find_bad_pixels(comb, np.ones(200), 32) == ()


def test_a_polynomial_and_how_far_another_axis_is_from_it() -> None:
    axis = WavelengthCalibration((350.0, 0.25, -1e-6)).wavelengths(2048)
    assert axis[0] == 350.0
    assert axis[100] == pytest.approx(350 + 25 - 0.01)
    assert largest_deviation(axis + 0.125, axis) == pytest.approx(0.5, rel=0.02)
    assert largest_deviation(axis[:-1], axis) == float("inf")
    np.testing.assert_array_equal(WavelengthCalibration((0.0, 1.0), first_pixel=1).wavelengths(3), [1, 2, 3])


@pytest.mark.parametrize("coefficients", [(500.0,), (500.0, -1.0), (0.0, float("nan")), (0.0, 1.0, -1.0)])
def test_coefficients_that_give_no_axis(coefficients: tuple[float, ...]) -> None:
    with pytest.raises(AxisError, match="ascending"):
        WavelengthCalibration(coefficients).wavelengths(10)


def test_corrections_of_the_detector() -> None:
    counts = np.array([100, 102, 1101])
    both = {"dark_pixels": (0, 1), "nonlinearity": (1.0, 1e-3)}
    dark = correct_detector(counts, **both, correct_dark_counts=True, correct_nonlinearity=False)
    np.testing.assert_allclose(dark, [-1, 1, 1000])
    linear = correct_detector(counts, **both, correct_dark_counts=False, correct_nonlinearity=True)
    assert linear[2] == pytest.approx(1000 / 2 + 101)
    for missing in (
        {"correct_dark_counts": True, "correct_nonlinearity": False},
        {"correct_dark_counts": False, "correct_nonlinearity": True},
    ):
        with pytest.raises(SpectrometerError, match="cannot be corrected"):
            correct_detector(counts, **missing)
    with pytest.raises(SpectrometerError, match="from 0 to 2"):
        correct_detector(counts, dark_pixels=(3,), correct_dark_counts=True, correct_nonlinearity=False)


def test_flags_have_names_and_four_of_them_forbid_to_classify() -> None:
    assert (Quality.SATURATED | Quality.DARK_SCALED).names == ["saturated", "dark_scaled"]
    assert Quality(0).usable
    assert Quality(0).names == []
    assert (Quality.DARK_SCALED | Quality.PIXELS_REPAIRED | Quality.EXPOSURE_CHANGING).usable
    assert not any(flag.usable for flag in Quality if flag in UNUSABLE)
    assert UNUSABLE.names == ["saturated", "low_signal", "no_dark", "wrong_axis"]


def test_saturation_and_low_signal() -> None:
    assert judge_saturation([1, 4095], 4095) is Quality.SATURATED
    assert not judge_saturation([1, 4094], 4095)
    assert not judge_saturation([1, 4095], 0)
    assert judge_signal([100, 149], 50) is Quality.LOW_SIGNAL
    assert not judge_signal([100, 150], 50)
    assert not judge_signal([100, 100], 0)
