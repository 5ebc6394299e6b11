from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from specnet.datasets import Holdout, import_npz
from specnet.datasets.importing import ImportOptions
from specnet.errors import AxisError, DatasetError, SpecnetError
from specnet.spectra import Quantity

RAMAN = ImportOptions(quantity=Quantity.RAMAN_SHIFT)


def save(path: Path, **arrays: np.ndarray) -> Path:
    np.savez_compressed(path, **arrays)
    return path


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {
        "X": random.normal(size=(30, 11)).astype(np.float32),
        "y": (np.arange(30) // 10).astype(np.int16),
        "axis": np.linspace(100, 200, 11).astype(np.float32),
        "class_names": np.array(["a", "b", "c"]),
        "group": np.arange(30) // 2,
        "session": np.arange(30) % 3,
        "split": (np.arange(30) // 2 % 3).astype(np.int8),
        "laser_nm": np.full(30, 532, np.int16),
        "processed": np.arange(30) % 5 != 0,
    }


def test_everything_known_is_carried_over(arrays, tmp_path) -> None:
    path = save(tmp_path / "minerals.npz", **arrays)
    options = ImportOptions(quantity=Quantity.RAMAN_SHIFT, unit="1/cm", intensity_unit="counts", laser_nm=532.0)
    table, notes = import_npz(path, options)
    np.testing.assert_array_equal(table.intensity, arrays["X"])
    assert table.axis.quantity is Quantity.RAMAN_SHIFT
    assert table.class_names == ("a", "b", "c")
    assert set(table.columns) == {"sample_id", "session_id", "laser_nm", "processed"}
    assert table.group_by == "sample_id"  # its groups are whole in the file's split
    np.testing.assert_array_equal(table.rows(Holdout.TEST), np.flatnonzero(arrays["split"] == 2))
    assert table.instrument.laser_nm == 532.0
    assert (table.title, table.provenance["source_file"]) == ("minerals", "minerals.npz")
    assert len(table.provenance["sha256"]) == 64
    assert notes == []


def test_what_is_missing_is_said(arrays, tmp_path) -> None:
    table, notes = import_npz(save(tmp_path / "bare.npz", X=arrays["X"]))
    assert table.axis.quantity is Quantity.CHANNEL
    text = " | ".join(notes)
    for lost in ("no axis", "no labels", "no groups", "no split", "no intensity unit: taken as a.u."):
        assert lost in text


@pytest.mark.parametrize(
    ("name", "quantity", "experiment"),
    [
        ("x-raman", "raman_shift", "Raman"),
        ("x-ftir", "wavenumber", "FTIR"),
        ("x-NIR-2", "wavelength", "NIR"),
    ],
)
def test_quantity_is_guessed_from_the_name_and_said_so(arrays, tmp_path, name, quantity, experiment) -> None:
    table, notes = import_npz(save(tmp_path / f"{name}.npz", X=arrays["X"], axis=arrays["axis"]))
    assert (table.axis.quantity, table.experiment_type) == (quantity, experiment)
    assert any("because of the file's name" in note for note in notes)


def test_quantity_that_cannot_be_guessed_is_asked_for(arrays, tmp_path) -> None:
    with pytest.raises(DatasetError, match=r"axis \(100 to 200\).*--quantity"):
        import_npz(save(tmp_path / "minerals.npz", X=arrays["X"], axis=arrays["axis"]))


def test_descending_axis_is_turned_round_with_its_points(arrays, tmp_path) -> None:
    path = save(tmp_path / "down.npz", X=arrays["X"], axis=arrays["axis"][::-1])
    table, notes = import_npz(path, RAMAN)
    np.testing.assert_array_equal(table.intensity, arrays["X"][:, ::-1])
    assert any("descending" in note for note in notes)


def test_axis_in_no_order_is_refused(arrays, tmp_path) -> None:
    axis = arrays["axis"].copy()
    axis[[3, 4]] = axis[[4, 3]]
    with pytest.raises(AxisError, match="strictly ascending"):
        import_npz(save(tmp_path / "mixed.npz", X=arrays["X"], axis=axis), RAMAN)


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (np.uint8, np.uint16),
        (np.int32, np.uint16),
        (np.int64, np.uint16),
        (np.uint32, np.uint32),
        (">u2", np.uint16),
        (np.float64, np.float32),
    ],
)
def test_numbers_are_stored_in_a_type_that_holds_them(tmp_path, stored, expected) -> None:
    counts = np.arange(30).reshape(3, 10).astype(stored)
    table, _ = import_npz(save(tmp_path / "counts.npz", X=counts))
    assert table.intensity.dtype == expected
    np.testing.assert_array_equal(table.intensity, counts)


def test_negative_and_large_integers_become_the_nearest_type(tmp_path) -> None:
    assert import_npz(save(tmp_path / "n.npz", X=np.array([[-1, 2], [3, 4]])))[0].intensity.dtype == np.float32
    assert import_npz(save(tmp_path / "l.npz", X=np.array([[1, 70_000], [3, 4]])))[0].intensity.dtype == np.uint32
    with pytest.raises(DatasetError, match="range of 32-bit floats"):
        import_npz(save(tmp_path / "h.npz", X=np.array([[1e300, 1.0]])))


def test_labels_without_names_name_themselves(arrays, tmp_path) -> None:
    numbered, _ = import_npz(save(tmp_path / "a.npz", X=arrays["X"], y=arrays["y"] * 10.0))
    assert numbered.class_names == ("0", "10", "20")
    texts = np.array(["quartz", "", "beryl"])[arrays["y"]]
    named, notes = import_npz(save(tmp_path / "b.npz", X=arrays["X"], y=texts))
    assert named.class_names == ("beryl", "quartz")
    np.testing.assert_array_equal(named.labels, np.array([1, -1, 0])[arrays["y"]])
    assert "10 spectra are without label" in notes


def test_nan_is_refused_with_the_count_and_dropped_on_request(arrays, tmp_path) -> None:
    arrays["X"][[4, 5], 0] = np.nan
    arrays["X"][6, 10] = np.inf
    path = save(tmp_path / "holes.npz", **arrays)
    with pytest.raises(DatasetError, match=r"3 of 30 spectra have NaN.*--drop-nan"):
        import_npz(path, RAMAN)
    table, notes = import_npz(path, ImportOptions(quantity=Quantity.RAMAN_SHIFT, drop_nan=True))
    assert table.n_spectra == 27
    assert "3 of 30 spectra dropped for NaN or infinite points" in notes
    cropped, notes = import_npz(path, ImportOptions(quantity=Quantity.RAMAN_SHIFT, crop=(105.0, 190.0)))
    assert (cropped.n_spectra, cropped.n_points) == (30, 9)
    assert (cropped.axis.values[0], cropped.axis.values[-1]) == (110.0, 190.0)
    assert cropped.processing[0].parameters == '{"crop": [105.0, 190.0]}'


def test_conditions_and_minimal_groups_select_spectra_and_classes(arrays, tmp_path) -> None:
    arrays["group"] = np.where(arrays["y"] == 1, 99, arrays["group"])
    path = save(tmp_path / "select.npz", **arrays)
    options = ImportOptions(quantity=Quantity.RAMAN_SHIFT, where=("processed=1", "laser_nm=532"), min_groups=3)
    table, notes = import_npz(path, options)
    kept = arrays["processed"] & (arrays["y"] != 1)
    np.testing.assert_array_equal(table.intensity, arrays["X"][kept])
    assert table.class_names == ("a", "c")
    np.testing.assert_array_equal(table.labels, (arrays["y"] // 2)[kept])
    assert any("2 of 3 classes have at least 3 groups" in note for note in notes)
    by_name, _ = import_npz(path, ImportOptions(quantity=Quantity.RAMAN_SHIFT, where=("label=b",)))
    assert by_name.class_names == ("b",)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"where": ("colour=red",)}, "no column 'colour'.*label, sample_id"),
        ({"where": ("laser_nm=red",)}, "the column holds numbers"),
        ({"where": ("laser_nm=785",)}, "no spectra are left"),
        ({"crop": (150.1, 150.2)}, "leaves 0 points of 100 to 200"),
        ({"min_groups": 50}, "no spectra are left"),
    ],
)
def test_selection_that_cannot_be_made(arrays, tmp_path, options, message) -> None:
    with pytest.raises(DatasetError, match=message):
        import_npz(save(tmp_path / "s.npz", **arrays), ImportOptions(quantity=Quantity.RAMAN_SHIFT, **options))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quantity": Quantity.RAMAN_SHIFT, "unit": "nm"}, "in 1/cm, got unit 'nm'"),
        ({"crop": (5.0, 5.0)}, "low to high"),
        ({"where": ("processed",)}, "COLUMN=VALUE, got 'processed'"),
        ({"min_groups": -1}, "got -1"),
    ],
)
def test_options_that_make_no_sense(options, message) -> None:
    with pytest.raises(DatasetError, match=message):
        ImportOptions(**options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"X": np.zeros(30)}, "X is float64 of shape"),
        ({"X": np.zeros((30, 11), "U1")}, "X is <U1"),
        ({"y": np.zeros(29, int)}, r"\(29,\), expected \(30,\)"),
        ({"y": np.full(30, 3)}, "from 3 to 3, expected -1 to 2"),
        ({"y": np.full(30, 0.5)}, "expected whole numbers or text"),
        ({"y": np.full(30, "d")}, r"\['d'\] are not among the 3 class names"),
        ({"class_names": np.arange(3)}, "class_names is int64"),
        ({"class_names": np.array(["a", "a", "b"])}, "unique"),
        ({"axis": np.arange(10.0)}, r"expected \(11,\)"),
        ({"split": np.full(30, 3)}, "0 train, 1 calibration, 2 test"),
    ],
)
def test_arrays_that_do_not_agree(arrays, tmp_path, change, message) -> None:
    with pytest.raises(DatasetError, match=message):
        import_npz(save(tmp_path / "wrong.npz", **(arrays | change)), RAMAN)


def test_arrays_of_other_shapes_are_left_out_and_said_so(arrays, tmp_path) -> None:
    _, notes = import_npz(save(tmp_path / "extra.npz", **arrays, matrix=np.zeros((4, 4))), RAMAN)
    assert "array matrix (float64, shape (4, 4)) is no column and was left out" in notes


def npy(data: bytes, header: str) -> bytes:
    text = (header + " " * (117 - len(header)) + "\n").encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


def zipped(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return path


def test_empty_archive_and_archive_without_spectra(tmp_path) -> None:
    with pytest.raises(DatasetError, match="no array X of spectra; arrays: none"):
        import_npz(zipped(tmp_path / "empty.npz"))
    with pytest.raises(DatasetError, match="no array X of spectra; arrays: y"):
        import_npz(save(tmp_path / "y.npz", y=np.zeros(3)))
    with pytest.raises(DatasetError, match="no spectra are left"):
        import_npz(save(tmp_path / "zero.npz", X=np.zeros((0, 5), np.float32)))


def test_python_objects_are_not_loaded(tmp_path) -> None:
    path = tmp_path / "objects.npz"
    np.savez(path, X=np.array([[{}, 1], [2, 3]], dtype=object), allow_pickle=True)
    with pytest.raises(DatasetError, match="Python objects, which are not loaded"):
        import_npz(path)


@pytest.mark.parametrize("shape", ["(1000000000, 60000)", "(2, 5)", "(-1, 4)"])
def test_announced_shape_that_the_data_does_not_have_is_refused_before_memory_is_taken(tmp_path, shape) -> None:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"
    with pytest.raises(DatasetError, match=r"X\.npy announces"):
        import_npz(zipped(tmp_path / "giant.npz", X=npy(b"\0" * 16, header)))


def test_archive_over_the_size_limit_is_refused_before_it_is_unpacked(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("specnet.datasets.importing.npz.MAX_ARCHIVE_BYTES", 10_000)
    path = save(tmp_path / "bomb.npz", X=np.zeros((1000, 1000), np.float32))
    assert path.stat().st_size < 10_000  # it packs well: the limit is on what comes out
    with pytest.raises(DatasetError, match="4000128 bytes, the limits are"):
        import_npz(path)


@pytest.mark.parametrize(
    "header", ["{'descr': '<f4'}", "__import__('os')", "[1, 2", "{'descr': 'zz', 'shape': (1, 2)}"]
)
def test_header_that_is_no_array_header(tmp_path, header) -> None:
    with pytest.raises(DatasetError, match=r"X\.npy is no numpy array"):
        import_npz(zipped(tmp_path / "header.npz", X=npy(b"", header)))


def test_damaged_archives_never_raise_anything_else(arrays, tmp_path) -> None:
    whole = save(tmp_path / "whole.npz", **arrays).read_bytes()
    random = np.random.default_rng(0)
    damaged = [whole[: int(len(whole) * share)] for share in (0, 0.1, 0.5, 0.9, 0.99)]
    for position in random.integers(0, len(whole), 60):
        copy = bytearray(whole)
        copy[position] ^= 0x55
        damaged.append(bytes(copy))
    refused = 0
    for data in damaged:
        (tmp_path / "damaged.npz").write_bytes(data)
        try:
            import_npz(tmp_path / "damaged.npz", RAMAN)
        except SpecnetError:
            refused += 1
    assert refused >= 40  # what is not noticed lies in fields that do not matter, such as time stamps


def test_text_named_npz_and_missing_file(tmp_path) -> None:
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(DatasetError, match="no readable numpy archive"):
        import_npz(tmp_path / "text.npz")
    with pytest.raises(DatasetError, match="no such file"):
        import_npz(tmp_path / "absent.npz")


def test_single_array_file_renamed_to_npz_is_refused(tmp_path) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((3, 4)))
    (tmp_path / "array.npz").write_bytes(buffer.getvalue())
    with pytest.raises(DatasetError, match="no readable numpy archive"):
        import_npz(tmp_path / "array.npz")
