from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from device.spectrometers import SpectrometerSettings
from device.spectrometers.axis import resolve_axis
from specnet.errors import AxisError, ConfigurationError
from specnet.spectra import Quantity, SpectralAxis

RAMAN = SpectralAxis(np.linspace(200, 1800, 50), Quantity.RAMAN_SHIFT)
WAVENUMBER = SpectralAxis(np.linspace(4000, 10_000, 50), Quantity.WAVENUMBER)


def test_without_settings_the_axis_is_that_of_the_training_spectra() -> None:
    pixels = resolve_axis(SpectrometerSettings(), RAMAN)
    assert pixels.axis == RAMAN
    np.testing.assert_array_equal(pixels.arrange(np.arange(50)), np.arange(50))


def test_a_polynomial_counts_pixels_from_one() -> None:
    settings = SpectrometerSettings(n_points=3, coefficients=(300.0, 2.0, 0.5))
    axis = resolve_axis(settings, SpectralAxis(np.array([300.0, 400.0]), Quantity.WAVELENGTH)).axis
    np.testing.assert_allclose(axis.values, [302.5, 306.0, 310.5])
    assert axis.unit == "nm"


def test_a_wavelength_becomes_a_raman_shift_with_the_laser() -> None:
    settings = SpectrometerSettings(n_points=288, coefficients=(540.0, 0.2), laser_nm=532.0)
    pixels = resolve_axis(settings, RAMAN)
    assert pixels.axis.quantity is Quantity.RAMAN_SHIFT
    assert pixels.axis.values[0] == pytest.approx(1e7 / 532 - 1e7 / 540.2)
    np.testing.assert_array_equal(pixels.order, np.arange(288))
    with pytest.raises(AxisError, match="laser line"):
        resolve_axis(SpectrometerSettings(n_points=288, coefficients=(540.0, 0.2)), RAMAN)


def test_pixels_are_turned_round_where_the_quantity_runs_the_other_way() -> None:
    pixels = resolve_axis(SpectrometerSettings(n_points=10, coefficients=(1000.0, 100.0)), WAVENUMBER)
    np.testing.assert_array_equal(pixels.arrange(np.arange(10)), np.arange(10)[::-1])
    assert pixels.axis.values[-1] == pytest.approx(1e7 / 1100)


def test_a_file_gives_the_axis(tmp_path: Path) -> None:
    path = tmp_path / "axis.json"
    path.write_text(json.dumps(RAMAN.to_dict()))
    assert resolve_axis(SpectrometerSettings(axis_file=str(path)), RAMAN).axis == RAMAN


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"quantity": "mass", "unit": "u", "values": [1, 2]}', "\xff"])
def test_a_file_that_holds_no_axis_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "axis.json"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(ConfigurationError, match="is no axis"):
        resolve_axis(SpectrometerSettings(axis_file=str(path)), RAMAN)


def test_mistakes_are_named_with_both_values(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot read spectrometer.axis_file"):
        resolve_axis(SpectrometerSettings(axis_file=str(tmp_path / "missing")), RAMAN)
    with pytest.raises(ConfigurationError, match="is 288, its axis has 50"):
        resolve_axis(SpectrometerSettings(n_points=288), RAMAN)
    with pytest.raises(AxisError, match="ascending"):
        resolve_axis(SpectrometerSettings(n_points=288, coefficients=(800.0, -1.0)), RAMAN)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"baudrate": 1}, "baudrate"),
        ({"integration_time_s": 0.0}, "integration_time_s"),
        ({"timeout_s": float("nan")}, "timeout_s"),
        ({"n_points": -1}, "n_points"),
        ({"axis_file": "a", "coefficients": (1.0,), "n_points": 5}, "exclude each other"),
        ({"coefficients": (1.0, float("inf")), "n_points": 5}, "finite"),
        ({"coefficients": (1.0, 2.0)}, "need n_points"),
    ],
)
def test_settings_out_of_range_are_refused(changes: dict[str, object], complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        SpectrometerSettings(**changes)
