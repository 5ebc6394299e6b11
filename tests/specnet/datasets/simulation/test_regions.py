from __future__ import annotations

import dataclasses

import h5py
import numpy as np
import pytest

from specnet.datasets import SpectraFile, SpectraTable, write_spectra
from specnet.datasets.bands import SubstanceBands
from specnet.datasets.simulation import PRESETS, load_minerals, peak_regions, simulate
from specnet.errors import AxisError, DatasetError
from specnet.spectra import Quantity, SpectralAxis

AXIS = SpectralAxis(np.arange(0.0, 101.0), Quantity.RAMAN_SHIFT)
BANDS = {
    "label": np.array([0, 0, 1]),
    "position": np.array([20.0, 60.0, 50.0]),
    "height": np.array([1.0, 0.04, 1.0]),
    "width": np.array([4.0, 10.0, 2.0]),
}


@pytest.fixture
def written(tmp_path):
    config = dataclasses.replace(PRESETS["easy"], n_classes=4, spectra_per_class=20, n_points=1401)
    return write_spectra(tmp_path / "minerals.h5", simulate(config))


def test_points_within_one_width_of_a_strong_band_belong_to_its_class():
    regions = SubstanceBands(**BANDS).regions(AXIS, 3)
    np.testing.assert_array_equal(np.flatnonzero(regions[0]), np.arange(16, 25))
    np.testing.assert_array_equal(np.flatnonzero(regions[1]), np.arange(48, 53))
    assert not regions[2].any(), "a class without bands has no regions"


def test_widths_and_the_weakest_band_can_be_chosen():
    regions = SubstanceBands(**BANDS).regions(AXIS, 2, widths=0.5, weakest=0.01)
    np.testing.assert_array_equal(np.flatnonzero(regions[0]), [18, 19, 20, 21, 22, *range(55, 66)])


def test_the_file_of_minerals_knows_where_their_published_bands_are(written):
    regions = peak_regions(written)
    with SpectraFile(written) as file:
        axis, names, bands = file.axis.values, file.class_names, file.bands
    minerals = {mineral.name: mineral for mineral in load_minerals()}
    assert regions.shape == (4, 1401)
    for row, name in enumerate(names):
        for peak in minerals[name].peaks:
            if peak.intensity >= 0.05 and axis[0] <= peak.position <= axis[-1]:
                assert regions[row, np.abs(axis - peak.position).argmin()]
        far = np.abs(axis[:, None] - [peak.position for peak in minerals[name].peaks]).min(axis=1)
        assert not regions[row, far > max(peak.width for peak in minerals[name].peaks)].any()
        np.testing.assert_array_equal(
            bands.position[bands.label == row], [peak.position for peak in minerals[name].peaks]
        )


def test_regions_follow_another_axis(written):
    fine = peak_regions(written)
    coarse = peak_regions(written, axis=SpectralAxis(np.linspace(100.0, 1500.0, 141), Quantity.RAMAN_SHIFT))
    np.testing.assert_array_equal(coarse, fine[:, ::10])
    with pytest.raises(AxisError, match="got an axis of"):
        peak_regions(written, axis=SpectralAxis(np.linspace(400.0, 900.0, 100), Quantity.WAVELENGTH, "nm"))


def test_a_file_without_bands_says_so(tmp_path):
    table = SpectraTable(np.ones((2, AXIS.n_points), np.float32), AXIS, np.array([0, 1]), ("a", "b"))
    path = write_spectra(tmp_path / "plain.h5", table)
    with pytest.raises(DatasetError, match="no group 'substances'"):
        peak_regions(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": np.array([0.0, 0.5, 1.0])}, "labels of bands are integers"),
        ({"label": np.array([-1, 0, 1])}, "labels of bands are at least 0, got -1"),
        ({"position": np.array([1.0, 2.0])}, r"position of bands has shape \(2,\), expected \(3,\)"),
        ({"position": np.array([1.0, 2.0, np.nan])}, "position of bands has values that are not finite"),
        ({"height": np.array([1.0, 2.0, 1.0])}, "height above 0 and at most 1"),
        ({"width": np.array([1.0, 0.0, 1.0])}, "positive width"),
    ],
)
def test_impossible_bands_are_refused(change, message):
    with pytest.raises(DatasetError, match=message):
        SubstanceBands(**(BANDS | change))


def test_bands_of_more_classes_than_there_are_are_refused():
    with pytest.raises(DatasetError, match="bands are of 2 classes, expected at most 1"):
        SubstanceBands(**BANDS).regions(AXIS, 1)
    with pytest.raises(DatasetError, match="bands are of 2 classes, there are 1"):
        SpectraTable(
            np.ones((1, AXIS.n_points), np.float32), AXIS, np.array([0]), ("a",), bands=SubstanceBands(**BANDS)
        )


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("label", np.array([0, 1, 99]), "bands are of 100 classes, the labels have 4"),
        ("position", np.array([1.0, 2.0]), r"position has shape \(2,\)"),
        ("height", np.array([1.0, -1.0, 1.0]), "height above 0"),
    ],
)
def test_damaged_bands_in_a_file_are_refused(written, name, values, message):
    with h5py.File(written, "r+") as file:
        group = file["entry/substances"]
        for column, good in BANDS.items():
            del group[column]
            group[column] = values if column == name else good
    with pytest.raises(DatasetError, match=message):
        SpectraFile(written)


def test_a_group_of_the_same_name_of_another_program_is_left_alone(written):
    with h5py.File(written, "r+") as file:
        del file["entry/substances"]
        file["entry/substances/name"] = "water"
    with SpectraFile(written) as file:
        assert file.bands is None
