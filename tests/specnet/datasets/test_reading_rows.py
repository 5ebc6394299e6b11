from __future__ import annotations

import h5py
import numpy as np
import pytest

from specnet.datasets import SpectraFile, reading, write_spectra
from specnet.errors import DatasetError


@pytest.fixture
def file(make_table, tmp_path):
    table = make_table(300, 16)
    with SpectraFile(write_spectra(tmp_path / "rows.h5", table)) as opened:
        yield opened, table.intensity


@pytest.mark.parametrize(
    "rows",
    [
        slice(None),
        slice(10, 290, 7),
        slice(200, 50, -3),
        [299, 0, 64, 63, 128, 0, 0],
        np.random.default_rng(0).permutation(300),
        np.arange(300) % 5 == 0,
        [-1, -300],
        [],
    ],
    ids=["all", "stepped", "backwards", "repeated", "shuffled", "mask", "from the end", "none"],
)
def test_rows_are_read_in_the_order_asked_for(file, rows) -> None:
    opened, intensity = file
    expected = intensity[rows] if len(np.atleast_1d(np.asarray(rows, object))) else intensity[:0]
    found = opened.read(rows)
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == np.uint16


def test_blocks_bounded_in_bytes_give_the_same_spectra(file, monkeypatch) -> None:
    opened, intensity = file
    monkeypatch.setattr(reading, "BLOCK_BYTES", 64 * 16 * 2)
    np.testing.assert_array_equal(opened.read(slice(None)), intensity)


@pytest.mark.parametrize("rows", [[300], [-301], np.ones(299, bool)])
def test_rows_that_are_not_there_are_refused(file, rows) -> None:
    with pytest.raises(DatasetError, match="has 300 spectra"):
        file[0].read(rows)


def test_metadata_is_there_before_any_spectrum_is_read(make_table, tmp_path) -> None:
    table = make_table()
    file = SpectraFile(write_spectra(tmp_path / "meta.h5", table))
    file.close()
    assert (file.n_spectra, file.n_points, file.class_names) == (120, 50, table.class_names)
    assert file.axis == table.axis
    np.testing.assert_array_equal(file.columns["sample_id"], table.columns["sample_id"])


def test_conforming_file_of_another_program_is_read(tmp_path) -> None:
    counts = np.arange(40.0).reshape(4, 10) - 5
    with h5py.File(tmp_path / "foreign.nxs", "w") as file:
        entry = file.create_group("scan_12")
        entry.attrs["NX_class"] = "NXentry"
        file.attrs["default"] = "scan_12"
        data = entry.create_group("measurement")
        data.attrs.update(NX_class="NXdata", signal="counts")
        data.attrs["axes"] = np.array([".", "wavenumber"], dtype="S")
        data["counts"] = counts
        data["wavenumber"] = np.linspace(4000.0, 400.0, 10)
        data["wavenumber"].attrs["units"] = "cm-1"
    with SpectraFile(tmp_path / "foreign.nxs") as file:
        assert (file.axis.unit, file.axis.values[0], file.axis.values[-1]) == ("1/cm", 400.0, 4000.0)
        assert file.labels is None
        # the axis ascends, so the points turn round with it
        np.testing.assert_array_equal(file.read([2]), counts[[2], ::-1].astype(np.float32))


def test_files_open_in_a_generic_nexus_program(make_table, tmp_path) -> None:
    from nexusformat.nexus import nxload

    table = make_table()
    root = nxload(write_spectra(tmp_path / "nexus.h5", table))
    data = root[root.attrs["default"]]
    data = data[data.attrs["default"]]
    assert data.nxclass == "NXdata"
    np.testing.assert_array_equal(data.nxsignal.nxvalue, table.intensity)
    axis = data.nxaxes[-1]
    np.testing.assert_array_equal(axis.nxvalue, table.axis.values)
    assert (axis.attrs["units"], axis.attrs["long_name"]) == ("1/cm", "Raman shift (1/cm)")
    assert data.nxsignal.attrs["units"] == "counts"
    assert str(root["entry/title"].nxvalue) == "Carbonates"
    assert root["entry/instrument"].nxclass == "NXinstrument"
    np.testing.assert_array_equal(root["entry/samples/label"].nxvalue, table.labels)
