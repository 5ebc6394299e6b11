from __future__ import annotations

from dataclasses import fields

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from specnet.datasets import Holdout, ProcessStep, SpectraFile, SpectraTable, read_spectra, write_spectra
from specnet.errors import DatasetError
from specnet.spectra import UNITS, Quantity, SpectralAxis

names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=12)
keys = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=12).filter(
    lambda key: key != "label"
)


def assert_same(found: SpectraTable, expected: SpectraTable) -> None:
    for field in fields(SpectraTable):
        one, other = getattr(found, field.name), getattr(expected, field.name)
        if field.name == "columns":
            assert set(one) == set(other)
            for key in one:
                np.testing.assert_array_equal(one[key], other[key])
                assert one[key].dtype.kind == other[key].dtype.kind
        elif isinstance(other, np.ndarray):
            np.testing.assert_array_equal(one, other)
            assert one.dtype == other.dtype
        else:
            assert one == other, field.name


@st.composite
def tables(draw: st.DrawFn) -> SpectraTable:
    n, n_points = draw(st.integers(0, 70)), draw(st.integers(2, 9))
    dtype = draw(st.sampled_from([np.uint16, np.uint32, np.float32]))
    finite = {"allow_nan": False, "allow_infinity": False} if dtype is np.float32 else {}
    intensity = draw(hnp.arrays(dtype, (n, n_points), elements=hnp.from_dtype(np.dtype(dtype), **finite)))
    quantity = draw(st.sampled_from(list(Quantity)))
    steps = draw(hnp.arrays(np.float64, n_points, elements=st.floats(1e-3, 1e3)))
    classes = draw(st.lists(names, unique=True, max_size=5))
    holdout = draw(st.none() | hnp.arrays(np.int8, n, elements=st.sampled_from([int(part) for part in Holdout])))
    columns = {
        "count": draw(hnp.arrays(np.int32, n)),
        "share": draw(hnp.arrays(np.float64, n, elements=st.floats(allow_nan=False))),
        "flag": draw(hnp.arrays(np.bool_, n)),
        "text": np.array(draw(st.lists(names, min_size=n, max_size=n)), dtype="U12"),
    }
    return SpectraTable(
        intensity=intensity,
        axis=SpectralAxis(np.cumsum(steps), quantity, draw(st.sampled_from(UNITS[quantity]))),
        labels=draw(st.none() | hnp.arrays(np.int64, n, elements=st.integers(-1, len(classes) - 1))),
        class_names=tuple(classes),
        columns=columns,
        holdout=holdout,
        group_by=draw(st.sampled_from(["", "text", "count"])),
        split_seed=draw(st.none() | st.integers(0, 2**31)),
        intensity_unit=draw(names),
        title=draw(names),
        provenance=draw(st.dictionaries(keys, names, max_size=3)),
        processing=tuple(ProcessStep(program, "1") for program in draw(st.lists(names, max_size=2))),
    )


@given(table=tables())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_whatever_is_written_is_read_back(table: SpectraTable, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = write_spectra(tmp_path_factory.mktemp("round") / "spectra.h5", table)
    found = read_spectra(path)
    if table.labels is None:
        # names without labels have nowhere to live in the file
        assert found.class_names == ()
        found = SpectraTable(**{**found.__dict__, "class_names": table.class_names})
    assert_same(found, table)


def test_full_table_is_read_back(make_table, tmp_path) -> None:
    table = make_table(holdout=np.arange(120) % 3, group_by="", split_seed=4)
    assert_same(read_spectra(write_spectra(tmp_path / "full.h5", table)), table)


def test_layout_on_disk_is_the_documented_one(make_table, tmp_path) -> None:
    table = make_table(holdout=np.arange(120) // 4 % 3, group_by="sample_id", split_seed=3)
    with h5py.File(write_spectra(tmp_path / "layout.h5", table)) as file:
        assert file.attrs["format_name"] == "specnet-spectra"
        assert file.attrs["format_version"] == "1.0"
        intensity = file["entry/data/intensity"]
        assert intensity.chunks == (64, 50)
        assert (intensity.compression, intensity.compression_opts) == ("gzip", 4)
        assert intensity.shuffle
        assert intensity.fletcher32
        assert intensity.maxshape == (None, 50)
        assert list(file["entry/data"].attrs["axes"]) == [".", "raman_shift"]
        assert file["entry/data/raman_shift"].attrs["units"] == "1/cm"
        assert h5py.check_enum_dtype(file["entry/samples/label"].dtype)["Hämatit α"] == 2
        assert h5py.check_enum_dtype(file["entry/splits/holdout"].dtype) == {"train": 0, "calibration": 1, "test": 2}
        assert file["entry/samples/laser_nm"].attrs["units"] == "nm"
        assert file["entry/instrument/beam_incident/wavelength"][()] == 785.0
        assert dict(file["entry/splits"].attrs)["seed"] == 3
        folds = file["entry/splits/group_kfold_5"]
        assert dict(folds.attrs)["group_by"] == "sample_id"


def test_stored_folds_keep_groups_whole_and_are_those_of_scikit_learn(make_table, tmp_path) -> None:
    from sklearn.model_selection import StratifiedGroupKFold

    table = make_table(split_seed=5)
    with SpectraFile(write_spectra(tmp_path / "folds.h5", table)) as file:
        folds = file.folds
    splitter = StratifiedGroupKFold(5, shuffle=True, random_state=5)
    for number, (_, rows) in enumerate(splitter.split(table.intensity, table.labels, table.columns["sample_id"])):
        np.testing.assert_array_equal(np.flatnonzero(folds == number), rows)


def test_class_names_too_long_for_an_enumeration_are_refused_and_leave_no_file(make_table, tmp_path) -> None:
    many = tuple(f"a rather long name of a mineral, number {number}" for number in range(3000))
    with pytest.raises(DatasetError, match=r"3001 class names .* do not fit"):
        write_spectra(tmp_path / "many.h5", make_table(class_names=many))
    assert list(tmp_path.iterdir()) == []


def test_progress_adds_up_to_all_spectra(make_table, tmp_path) -> None:
    told: list[int] = []
    write_spectra(tmp_path / "progress.h5", make_table(2500, 8), progress=told.append)
    assert len(told) == 3
    assert sum(told) == 2500
