"""Whatever is wrong with a file, the answer is a `DatasetError` (or `AxisError`) that names the file and the fault."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from specnet.datasets import SpectraFile, layout, read_spectra, write_spectra
from specnet.errors import AxisError, DatasetError, SpectrumError


@pytest.fixture
def path(make_table, tmp_path) -> Path:
    holdout = np.arange(120) // 4 % 3
    return write_spectra(tmp_path / "spectra.h5", make_table(holdout=holdout, group_by="sample_id"))


@pytest.mark.parametrize("share", [0.0, 0.001, 0.05, 0.3, 0.7, 0.95, 0.999])
def test_truncated_file(path, share) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(DatasetError, match=r"spectra\.h5: (a truncated HDF5 file|not an HDF5 file)"):
        read_spectra(path)


def test_missing_file_and_folder(tmp_path) -> None:
    with pytest.raises(DatasetError, match="no such file"):
        read_spectra(tmp_path / "absent.h5")
    with pytest.raises(DatasetError, match="no such file"):
        read_spectra(tmp_path)


def test_text_file_named_h5(tmp_path) -> None:
    (tmp_path / "text.h5").write_text("100,101,102\n1,2,3\n" * 50)
    with pytest.raises(DatasetError, match="not an HDF5 file"):
        read_spectra(tmp_path / "text.h5")


def test_changed_byte_in_a_chunk_is_found_by_its_checksum(path) -> None:
    with h5py.File(path) as file:
        chunk = file["entry/data/intensity"].id.get_chunk_info(1)
    data = bytearray(path.read_bytes())
    data[chunk.byte_offset + chunk.size // 2] ^= 0xFF
    path.write_bytes(data)
    with SpectraFile(path) as file:
        assert len(file.read(slice(0, 64))) == 64
        with pytest.raises(DatasetError, match=r"spectra\.h5: damaged"):
            file.read([100])


def edit(path: Path, change) -> Path:
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def replace(file: h5py.File, name: str, data: object, **options: object) -> None:
    attributes = dict(file[name].attrs)
    del file[name]
    file.create_dataset(name, data=data, **options).attrs.update(attributes)


def _no_entry(file: h5py.File) -> None:
    del file["entry"]


def _no_data(file: h5py.File) -> None:
    del file["entry/data"]


def _no_signal(file: h5py.File) -> None:
    del file["entry/data/intensity"]


def _no_axis(file: h5py.File) -> None:
    del file["entry/data/raman_shift"]


def _no_axes(file: h5py.File) -> None:
    del file["entry/data"].attrs["axes"]


def _no_unit(file: h5py.File) -> None:
    del file["entry/data/raman_shift"].attrs["units"]


def _strange_unit(file: h5py.File) -> None:
    file["entry/data/raman_shift"].attrs["units"] = "furlong"


def _strange_axis(file: h5py.File) -> None:
    file.move("entry/data/raman_shift", "entry/data/colour")
    file["entry/data"].attrs["axes"] = [".", "colour"]


def _newer_version(file: h5py.File) -> None:
    file.attrs["format_version"] = "2.0"


def _wrong_length(file: h5py.File) -> None:
    replace(file, "entry/data/raman_shift", np.arange(49.0))


def _not_ascending(file: h5py.File) -> None:
    file["entry/data/raman_shift"][7] = 0.0


def _axis_with_nan(file: h5py.File) -> None:
    file["entry/data/raman_shift"][7] = np.nan


def _short_labels(file: h5py.File) -> None:
    replace(file, "entry/samples/label", np.zeros(7, np.int32), dtype=h5py.enum_dtype({"a": 0}, "i4"))


def _unknown_label(file: h5py.File) -> None:
    replace(file, "entry/samples/label", np.full(120, 5, np.int32), dtype=h5py.enum_dtype({"a": 0, "b": 1}, "i4"))


def _labels_without_names(file: h5py.File) -> None:
    replace(file, "entry/samples/label", np.zeros(120, np.int32))


def _unknown_part(file: h5py.File) -> None:
    replace(file, "entry/splits/holdout", np.zeros(120, np.int8), dtype=h5py.enum_dtype({"validation": 0}, "i1"))


def _short_column(file: h5py.File) -> None:
    replace(file, "entry/samples/laser_nm", np.zeros(119))


def _unknown_grouping(file: h5py.File) -> None:
    file["entry/splits"].attrs["group_by"] = "patient"


def _cube(file: h5py.File) -> None:
    replace(file, "entry/data/intensity", np.zeros((2, 3, 50), np.float32))


def _text_signal(file: h5py.File) -> None:
    replace(file, "entry/data/intensity", np.full((120, 50), "1", "S1"))


def _external_link(file: h5py.File) -> None:
    del file["entry/data/intensity"]
    file["entry/data/intensity"] = h5py.ExternalLink("other.h5", "/entry/data/intensity")


def _external_storage(file: h5py.File) -> None:
    del file["entry/data/intensity"]
    file["entry/data"].create_dataset(
        "intensity", (120, 50), np.uint16, external=[("other.bin", 0, h5py.h5f.UNLIMITED)]
    )


def _huge_points(file: h5py.File) -> None:
    del file["entry/data/intensity"]
    file["entry/data"].create_dataset("intensity", (120, 70_000), np.uint16, chunks=(1, 70_000))


def _huge_spectra(file: h5py.File) -> None:
    file["entry/data/intensity"].resize((10**9, 50))


def _huge_chunks(file: h5py.File) -> None:
    del file["entry/data/intensity"]
    file["entry/data"].create_dataset("intensity", (120, 50), np.uint16, chunks=(10_000_000, 50), maxshape=(None, 50))


def _huge_texts(file: h5py.File) -> None:
    del file["entry/samples/sample_id"]
    file["entry/samples"].create_dataset("sample_id", (120,), "S50000000", chunks=(1,))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_no_entry, "no NXentry"),
        (_no_data, "no NXdata"),
        (_no_signal, "has no dataset 'intensity'"),
        (_no_axis, "no spectral axis"),
        (_no_axes, "no spectral axis"),
        (_no_unit, "'raman_shift' has no unit"),
        (_strange_unit, "in 1/cm, got unit 'furlong'"),
        (_strange_axis, "'colour' is unknown, expected one of raman_shift"),
        (_newer_version, r"format 2\.0, this release reads 1\.0"),
        (_wrong_length, "50 points, its axis 49"),
        (_not_ascending, "strictly ascending"),
        (_axis_with_nan, "1 points are not"),
        (_short_labels, r"\(7,\), expected \(120,\)"),
        (_unknown_label, r"values \[5\] that its 2 names do not explain"),
        (_labels_without_names, "no HDF5 enumeration"),
        (_unknown_part, "expected train, calibration, test"),
        (_short_column, r"\(119,\), expected \(120,\)"),
        (_unknown_grouping, "split by 'patient'"),
        (_cube, r"\(2, 3, 50\), expected numbers \(n_spectra, n_points\)"),
        (_text_signal, "expected numbers"),
        (_external_link, r"points into another file \('other\.h5'\)"),
        (_external_storage, "keeps its data in other files"),
        (_huge_points, "limits are"),
        (_huge_spectra, "limits are"),
        (_huge_chunks, "chunks of 1000000000 bytes"),
        (_huge_texts, "announces 6000000000 bytes"),
    ],
)
def test_file_that_lacks_or_contradicts_something(path, change, message) -> None:
    edit(path, change)
    with pytest.raises((DatasetError, AxisError), match=message):
        read_spectra(path)


def test_nan_in_a_file_is_refused_with_the_number_of_spectra(make_table, tmp_path) -> None:
    path = write_spectra(tmp_path / "nan.h5", make_table(intensity=np.ones((120, 50), np.float32)))
    with h5py.File(path, "r+") as file:
        file["entry/data/intensity"][5, 3] = np.nan
    with pytest.raises(SpectrumError, match="1 of 120 spectra"):
        read_spectra(path)


def test_file_too_large_for_memory_is_refused_whole_but_read_in_parts(path, monkeypatch) -> None:
    monkeypatch.setattr(layout, "MAX_TABLE_BYTES", 1000)
    with pytest.raises(DatasetError, match="120 x 50 spectra need 12000 bytes, over the limit of 1000"):
        read_spectra(path)
    with SpectraFile(path) as file:
        assert file.read([3]).shape == (1, 50)


def test_file_is_closed_after_a_refusal(path) -> None:
    edit(path, _no_unit)
    with pytest.raises(DatasetError):
        read_spectra(path)
    # HDF5 refuses to open for writing what is still open for reading
    with h5py.File(path, "r+") as file:
        file["entry/data/raman_shift"].attrs["units"] = "1/cm"
    assert read_spectra(path).n_spectra == 120
