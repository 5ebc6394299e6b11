"""The spectral axis: conversions between quantities, what is refused, and which intensities can be judged."""

from __future__ import annotations

import json

import numpy as np
import pytest

from specnet.errors import AxisError, SpectrumError
from specnet.spectra import MAX_POINTS, Quantity, SpectralAxis, check_intensity, convert_spectra

LASER = 532.0
WAVELENGTHS = SpectralAxis(np.array([400.0, 500.0, 800.0, 1000.0]), Quantity.WAVELENGTH)


def test_wavelength_in_nm_is_ten_million_over_wavenumber() -> None:
    converted = WAVELENGTHS.convert("wavenumber")
    assert (converted.quantity, converted.unit) == (Quantity.WAVENUMBER, "1/cm")
    np.testing.assert_allclose(converted.values, [10_000.0, 12_500.0, 20_000.0, 25_000.0], rtol=1e-14)


def test_micrometres_are_thousands_of_nanometres() -> None:
    converted = WAVELENGTHS.convert(Quantity.WAVELENGTH, "um")
    np.testing.assert_allclose(converted.values, [0.4, 0.5, 0.8, 1.0], rtol=1e-14)
    assert converted.label == "Wavelength (um)"
    np.testing.assert_allclose(converted.convert("wavelength").values, WAVELENGTHS.values, rtol=1e-14)


def test_raman_shift_is_counted_from_the_laser_line() -> None:
    # 532 nm is 18796.99 1/cm; a band at 1000 1/cm scatters to 17796.99 1/cm = 561.89 nm
    shift = SpectralAxis(np.array([0.0, 1000.0]), Quantity.RAMAN_SHIFT)
    wavelength = shift.convert("wavelength", laser_nm=LASER)
    np.testing.assert_allclose(wavelength.values, [532.0, 561.8926], atol=1e-4)
    wavenumber = shift.convert("wavenumber", laser_nm=LASER)
    np.testing.assert_allclose(wavenumber.values, [17796.9925, 18796.9925], atol=1e-4)


@pytest.mark.parametrize(
    ("quantity", "unit"), [("wavenumber", "1/cm"), ("raman_shift", "1/cm"), ("wavelength", "um"), ("wavelength", "nm")]
)
def test_there_and_back_again_changes_nothing(quantity: str, unit: str) -> None:
    intensity = np.arange(8.0).reshape(2, 4)
    there, axis = convert_spectra(intensity, WAVELENGTHS, quantity, unit, laser_nm=LASER)
    back, again = convert_spectra(there, axis, "wavelength", laser_nm=LASER)
    np.testing.assert_allclose(again.values, WAVELENGTHS.values, rtol=1e-12)
    np.testing.assert_array_equal(back, intensity)


def test_intensities_are_reversed_where_the_order_turns_round_and_only_there() -> None:
    intensity = np.array([[1.0, 2.0, 3.0, 4.0]])
    by_wavenumber, axis = convert_spectra(intensity, WAVELENGTHS, "wavenumber")
    np.testing.assert_array_equal(by_wavenumber, [[4.0, 3.0, 2.0, 1.0]])
    # the point measured at 400 nm is the one at 25,000 1/cm in both orders
    assert by_wavenumber[0, np.argmin(np.abs(axis.values - 25_000))] == intensity[0, 0]
    # the shift grows with the wavelength: no reversal
    by_shift, _ = convert_spectra(intensity, WAVELENGTHS, "raman_shift", laser_nm=LASER)
    np.testing.assert_array_equal(by_shift, intensity)
    # and falls with the wavenumber
    falling, _ = convert_spectra(by_wavenumber, axis, "raman_shift", laser_nm=LASER)
    np.testing.assert_array_equal(falling, intensity)


def test_a_raman_shift_needs_the_laser_line() -> None:
    shift = SpectralAxis(np.array([100.0, 200.0]), Quantity.RAMAN_SHIFT)
    for laser in (None, 0.0, -532.0, float("nan")):
        with pytest.raises(AxisError, match="needs the laser line in nm, got"):
            shift.convert("wavelength", laser_nm=laser)
        with pytest.raises(AxisError, match="needs the laser line in nm, got"):
            WAVELENGTHS.convert("raman_shift", laser_nm=laser)


def test_channels_convert_to_nothing_and_nothing_to_channels() -> None:
    with pytest.raises(AxisError, match="channel numbers cannot be converted"):
        SpectralAxis.channels(5).convert("wavelength")
    with pytest.raises(AxisError, match=r"use SpectralAxis\.channels"):
        WAVELENGTHS.convert("channel")


def test_points_that_have_no_wavelength_are_refused() -> None:
    beyond = SpectralAxis(np.array([0.0, 20_000.0]), Quantity.RAMAN_SHIFT)
    with pytest.raises(AxisError, match="an absolute wavenumber is positive"):
        beyond.convert("wavelength", laser_nm=LASER)
    with pytest.raises(AxisError, match="an absolute wavenumber is positive, the axis reaches 0"):
        SpectralAxis(np.array([0.0, 10.0]), Quantity.WAVENUMBER).convert("wavelength")
    with pytest.raises(AxisError, match="a wavelength is positive, the axis reaches -1 nm"):
        SpectralAxis(np.array([-1.0, 10.0]), Quantity.WAVELENGTH).convert("wavenumber")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.0, 3.0, 2.0], r"point 2 \(2\) does not follow point 1 \(3\)"),
        ([1.0, 1.0], "strictly ascending"),
        ([2.0, 1.0], "strictly ascending"),
        ([1.0, np.nan, 3.0], "finite; 1 points are not"),
        ([1.0, np.inf], "finite; 1 points are not"),
        ([1.0], r"2 to 65536 points in one dimension, got shape \(1,\)"),
        ([], r"got shape \(0,\)"),
        ([[1.0, 2.0]], r"got shape \(1, 2\)"),
        (np.arange(MAX_POINTS + 1), "got shape"),
    ],
)
def test_values_that_are_no_axis_are_refused(values: object, message: str) -> None:
    with pytest.raises(AxisError, match=message):
        SpectralAxis(np.asarray(values), Quantity.WAVELENGTH)


def test_a_unit_belongs_to_its_quantity() -> None:
    with pytest.raises(AxisError, match="a raman_shift axis is in 1/cm, got unit 'nm'"):
        SpectralAxis(np.array([1.0, 2.0]), Quantity.RAMAN_SHIFT, "nm")
    with pytest.raises(AxisError, match="unknown spectral quantity 'energy'; known: raman_shift"):
        SpectralAxis(np.array([1.0, 2.0]), "energy")  # type: ignore[arg-type]
    with pytest.raises(AxisError, match="wavelength axis is in nm or um, got unit '1/cm'"):
        WAVELENGTHS.convert("wavelength", "1/cm")


def test_an_axis_keeps_its_own_values_and_cannot_be_written_to() -> None:
    values = np.array([1.0, 2.0, 3.0])
    axis = SpectralAxis(values, Quantity.WAVELENGTH)
    values[0] = 99.0
    assert axis.values[0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        axis.values[0] = 5.0


def test_equal_axes_are_equal_and_hash_alike() -> None:
    same = SpectralAxis(WAVELENGTHS.values.copy(), Quantity.WAVELENGTH, "nm")
    assert same == WAVELENGTHS
    assert hash(same) == hash(WAVELENGTHS)
    assert SpectralAxis(WAVELENGTHS.values, Quantity.WAVELENGTH, "um") != WAVELENGTHS
    assert WAVELENGTHS.convert("wavenumber") != WAVELENGTHS
    assert WAVELENGTHS != "nm"


def test_json_round_trip_is_exact() -> None:
    axis = SpectralAxis(np.array([0.1, 1 / 3, 1e5 / 7]), Quantity.WAVENUMBER)
    assert SpectralAxis.from_dict(json.loads(json.dumps(axis.to_dict()))) == axis


@pytest.mark.parametrize(
    "plain",
    [
        {},
        {"quantity": "wavelength", "unit": "nm"},
        {"quantity": "colour", "unit": "nm", "values": [1, 2]},
        {"quantity": "wavelength", "unit": "nm", "values": ["a", "b"]},
        {"quantity": "wavelength", "unit": "nm", "values": [[1, 2], [3]]},
        {"quantity": "wavelength", "unit": "nm", "values": None},
        {"quantity": "wavelength", "unit": ["nm"], "values": [1, 2]},
    ],
)
def test_a_damaged_document_is_no_axis(plain: dict[str, object]) -> None:
    with pytest.raises(AxisError):
        SpectralAxis.from_dict(plain)


def test_axes_of_different_kinds_do_not_mix() -> None:
    WAVELENGTHS.require_same_kind(SpectralAxis(np.array([1.0, 2.0]), Quantity.WAVELENGTH))
    with pytest.raises(AxisError, match="the spectrometer is wavenumber in 1/cm, expected wavelength in nm"):
        WAVELENGTHS.require_same_kind(WAVELENGTHS.convert("wavenumber"), "the spectrometer")
    with pytest.raises(AxisError, match="wavelength in um, expected wavelength in nm"):
        WAVELENGTHS.require_same_kind(WAVELENGTHS.convert("wavelength", "um"))


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32, np.float64])
def test_good_intensities_come_back_as_float32(dtype: type) -> None:
    checked = check_intensity(np.array([[0, 1, 500], [7, 0, 0]], dtype=dtype), 3)
    assert checked.dtype == np.float32
    np.testing.assert_array_equal(checked, [[0, 1, 500], [7, 0, 0]])


@pytest.mark.parametrize(
    ("intensity", "message"),
    [
        ([1.0, 2.0], "got 2 points, expected 3"),
        ([[1.0, 2.0, 3.0, 4.0]], "got 4 points, expected 3"),
        (5.0, "got 0 points, expected 3"),
        ([1.0, np.nan, np.inf], "2 of 3 points are NaN or infinite"),
        ([0.0, 0.0, 0.0], "all points are zero"),
        ([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]], "all points are zero"),
        (["a", "b", "c"], "no array of numbers"),
        ([[1.0, 2.0, 3.0], [1.0]], "no array of numbers"),
    ],
)
def test_intensities_that_cannot_be_judged_are_refused_with_the_reason(intensity: object, message: str) -> None:
    with pytest.raises(SpectrumError, match=message):
        check_intensity(intensity, 3)  # type: ignore[arg-type]


def test_a_point_at_full_scale_saturates_the_spectrum() -> None:
    below = np.array([1.0, 4094.0, 3.0])
    check_intensity(below, 3, saturation=4095)
    with pytest.raises(SpectrumError, match="saturated: highest point 4095, full scale 4095"):
        check_intensity(np.array([1.0, 4095.0, 3.0]), 3, saturation=4095)


def test_no_spectra_at_all_are_no_mistake_of_intensity() -> None:
    assert check_intensity(np.empty((0, 3)), 3, saturation=1.0).shape == (0, 3)
