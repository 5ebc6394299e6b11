from __future__ import annotations

import numpy as np
import pytest

from specnet.datasets import Holdout, Instrument, SpectraTable
from specnet.errors import DatasetError, SpectrumError
from specnet.spectra import SpectralAxis


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"intensity": np.zeros((120, 49), np.uint16)}, r"\(120, 49\), expected \(n_spectra, 50\)"),
        ({"intensity": np.zeros(50, np.uint16)}, r"\(50,\), expected"),
        ({"intensity": np.zeros((120, 50))}, "float64, expected uint16, uint32, float32"),
        ({"labels": np.zeros(119, np.int64)}, r"\(119,\), expected \(120,\)"),
        ({"labels": np.full(120, 3)}, "labels run from 3 to 3, expected -1 to 2"),
        ({"labels": np.full(120, -2)}, "from -2 to -2"),
        ({"labels": np.full(120, 0.5)}, "float64"),
        ({"class_names": ("a", "a", "b")}, "unique, these are not: a"),
        ({"class_names": ("a", "", "b")}, "cannot be a class name"),
        ({"class_names": ("a", "(unlabelled)", "b")}, "cannot be a class name"),
        ({"columns": {"laser_nm": np.zeros(3)}}, r"'laser_nm' has shape \(3,\), expected \(120,\)"),
        ({"columns": {"a/b": np.zeros(120)}}, "cannot be the name of a column"),
        ({"columns": {"what": np.array([object()] * 120)}}, "of type object"),
        ({"holdout": np.full(120, 3, np.int8)}, r"values \[3\], expected \[0, 1, 2\]"),
        ({"group_by": "patient"}, "split by 'patient', which is no column; columns: sample_id"),
        ({"provenance": {"year": 2020}}, "provenance is text by name, got 'year': 2020"),
    ],
)
def test_fields_that_do_not_agree_are_refused_with_both_values(make_table, fields, message) -> None:
    with pytest.raises(DatasetError, match=message):
        make_table(**fields)


def test_intensities_that_are_not_finite_are_refused_with_their_number(make_table) -> None:
    intensity = np.ones((120, 50), np.float32)
    intensity[[5, 9], 3] = np.nan
    intensity[11, 0] = np.inf
    with pytest.raises(SpectrumError, match=r"3 of 120 spectra .*first: spectrum 5"):
        make_table(intensity=intensity)


@pytest.mark.parametrize("laser", [0.0, -785.0, float("nan"), float("inf")])
def test_a_laser_line_is_positive(laser) -> None:
    with pytest.raises(DatasetError, match="laser line"):
        Instrument(laser_nm=laser)


def test_select_keeps_everything_together(make_table) -> None:
    table = make_table(holdout=np.arange(120) % 3)
    part = table.select([7, 3, 3])
    assert part.n_spectra == 3
    assert part.class_names == table.class_names
    np.testing.assert_array_equal(part.intensity, table.intensity[[7, 3, 3]])
    np.testing.assert_array_equal(part.columns["sample_id"], table.columns["sample_id"][[7, 3, 3]])
    np.testing.assert_array_equal(part.holdout, [1, 0, 0])
    mask = table.labels == 2
    np.testing.assert_array_equal(table.select(mask).labels, np.full(mask.sum(), 2))


def test_rows_of_a_part(make_table) -> None:
    table = make_table(holdout=np.arange(120) % 3)
    np.testing.assert_array_equal(table.rows(Holdout.TEST), np.arange(2, 120, 3))
    with pytest.raises(DatasetError, match="no test part"):
        make_table().rows(Holdout.TEST)


def test_minimal_table_needs_only_intensity_and_axis() -> None:
    table = SpectraTable(np.zeros((0, 8), np.float32), SpectralAxis.channels(8))
    assert (table.n_spectra, table.n_points) == (0, 8)
