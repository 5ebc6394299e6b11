from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from specnet.datasets import import_csv
from specnet.datasets.importing import ImportOptions
from specnet.errors import DatasetError
from specnet.spectra import Quantity

RAMAN = ImportOptions(quantity=Quantity.RAMAN_SHIFT, unit="1/cm")


def write(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


def test_spectra_in_rows_with_named_columns(tmp_path) -> None:
    text = (
        "sample_id,label,split,100,110.5,121,note\n"
        "A1,quartz,train,1,2,3,x\n"
        "A2,beryl,test,4.5,5,6,\n"
        "A3,,calibration,7,8,9,z\n"
    )
    table, notes = import_csv(write(tmp_path / "t.csv", text), RAMAN)
    np.testing.assert_array_equal(table.intensity, [[1, 2, 3], [4.5, 5, 6], [7, 8, 9]])
    np.testing.assert_array_equal(table.axis.values, [100, 110.5, 121])
    assert table.class_names == ("beryl", "quartz")
    np.testing.assert_array_equal(table.labels, [1, 0, -1])
    np.testing.assert_array_equal(table.holdout, [0, 2, 1])
    assert table.columns["sample_id"].tolist() == ["A1", "A2", "A3"]
    assert table.columns["note"].tolist() == ["x", "", "z"]
    assert "1 spectra are without label" in notes


def test_spectra_in_columns_beside_the_axis(tmp_path) -> None:
    text = "Raman shift;first;second\n300;1,5;4\n200;2,5;5\n100;3;6,25\n"
    table, notes = import_csv(write(tmp_path / "t.csv", text), RAMAN)
    np.testing.assert_array_equal(table.axis.values, [100, 200, 300])
    np.testing.assert_array_equal(table.intensity, [[3, 2.5, 1.5], [6.25, 5, 4]])
    assert table.columns["name"].tolist() == ["first", "second"]
    assert any("descending" in note for note in notes)
    assert "no labels in the file" in notes


def test_two_bare_columns_as_instruments_write_them(tmp_path) -> None:
    text = "\ufeff" + "".join(f"{100 + 2 * point}\t{(point * 7919) % 31}\r\n" for point in range(40))
    table, _ = import_csv(write(tmp_path / "shot.txt", text), RAMAN)
    assert (table.n_spectra, table.n_points) == (1, 40)
    assert (table.intensity.dtype, table.intensity_unit) == (np.uint16, "counts")


def test_ambiguous_layout_is_decided_by_the_longer_direction_and_said_so(tmp_path) -> None:
    path = write(tmp_path / "t.csv", "1,2,3,4\n2,9,1,5\n3,4,4,0\n")
    table, notes = import_csv(path, RAMAN)
    assert (table.n_spectra, table.n_points) == (2, 4)
    assert "both the first row and the first column ascend" in notes[0]
    other, _ = import_csv(path, RAMAN, layout="columns")
    assert (other.n_spectra, other.n_points) == (3, 3)


def test_group_and_numeric_columns_get_their_types(tmp_path) -> None:
    text = "group,integration_time,100,200\n7,0.5,1,2\n8,0.25,3,5\n"
    table, _ = import_csv(write(tmp_path / "t.csv", text), RAMAN)
    assert table.columns["sample_id"].dtype == np.int64
    assert table.columns["integration_time"].dtype == np.float64


def test_empty_cells_are_missing_points(tmp_path) -> None:
    path = write(tmp_path / "t.csv", "label,100,200\na,1,\nb,3,5\n")
    with pytest.raises(DatasetError, match="1 of 2 spectra have NaN"):
        import_csv(path, RAMAN)
    table, _ = import_csv(path, ImportOptions(quantity=Quantity.RAMAN_SHIFT, drop_nan=True))
    assert table.class_names == ("b",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("label,100,200\na,1,2\nb,3\n", "row 3 has 2 cells, the first row has 3"),
        ("label,100,200\na,1,2\nb,3,oops\n", "row 3 has 'oops' where a number was expected"),
        ("x,y\n100,1\n200,bad\n", "row 3 has 'bad'"),
        ("5,1,7\n3,2,2\n9,4,4\n", "no spectral axis"),
        ("a,b,c\nd,e,f\n", "no spectral axis"),
        ("", "no table: 0 rows"),
        ("100,200,300\n", "no table: 1 rows of 3"),
        ("just words\nand more\n", "no table: 2 rows of 1"),
        ("split,100,200\nvalidation,1,2\n", "expected train, calibration, test"),
        ("label,100,nan\na,1,2\n", "strictly ascending|finite|no spectral axis"),
    ],
)
def test_text_that_is_no_table_of_spectra(tmp_path, text, message) -> None:
    with pytest.raises(DatasetError, match=message):
        import_csv(write(tmp_path / "bad.csv", text), RAMAN)


def test_binary_and_oversized_files(tmp_path, monkeypatch) -> None:
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\x01" * 40)
    with pytest.raises(DatasetError, match="no text table"):
        import_csv(tmp_path / "binary.csv", RAMAN)
    monkeypatch.setattr("specnet.datasets.importing.csv_text.MAX_CSV_BYTES", 10)
    with pytest.raises(DatasetError, match="18 bytes of text, the limit is 10"):
        import_csv(write(tmp_path / "long.csv", "label,100,200\n1,2\n"), RAMAN)
    with pytest.raises(DatasetError, match="no such file"):
        import_csv(tmp_path / "absent.csv", RAMAN)
