"""Write spectra as NeXus-style HDF5."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

import specnet
from specnet.datasets import layout
from specnet.datasets.bands import SubstanceBands
from specnet.datasets.splits import N_FOLDS, find_groups, stratified_folds
from specnet.datasets.table import UNLABELLED, UNLABELLED_NAME, Holdout, Instrument, ProcessStep, SpectraTable
from specnet.errors import DatasetError
from specnet.files import write_atomically

BLOCK_SPECTRA = 16 * layout.CHUNK_SPECTRA
GZIP_LEVEL = 4

Progress = Callable[[int], None]
"""Called with the number of spectra done since the last call."""


def write_spectra(path: Path | str, table: SpectraTable, *, progress: Progress | None = None) -> Path:
    """Write `table` to `path`, whole or not at all.

    Parameters
    ----------
    path
        The HDF5 file; an existing one is replaced when the new one is complete.
    table
        The spectra.
    progress
        Told about every block of spectra.

    Raises
    ------
    DatasetError
        When the class names are too long for one HDF5 enumeration (about 64 kB in all).
    """
    return write_atomically(path, lambda temporary: _fill(temporary, table, progress))


def _fill(path: Path, table: SpectraTable, progress: Progress | None) -> None:
    with h5py.File(path, "w") as file:
        file.attrs.update(
            NX_class="NXroot",
            default="entry",
            format_name=layout.FORMAT_NAME,
            format_version=layout.FORMAT_VERSION,
            creator=f"specnet {specnet.__version__}",
            file_time=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        entry = _group(file, "entry", "NXentry", default="data")
        entry["title"] = table.title
        entry["experiment_type"] = table.experiment_type
        _write_data(_group(entry, "data", "NXdata"), table, progress)
        _write_samples(_group(entry, "samples", "NXcollection"), table)
        _write_splits(_group(entry, "splits", "NXcollection"), table)
        _write_instrument(_group(entry, "instrument", "NXinstrument"), table.instrument)
        for number, step in enumerate(table.processing, start=1):
            _write_process(_group(entry, f"process_{number}", "NXprocess"), step, number)
        if table.bands is not None:
            _write_bands(_group(entry, layout.BANDS_GROUP, "NXcollection"), table.bands, table.axis.unit)
        _write_texts(_group(entry, "provenance", "NXcollection"), table.provenance)


def _group(parent: h5py.Group, name: str, nx_class: str, **attributes: str) -> h5py.Group:
    group = parent.create_group(name)
    group.attrs.update(NX_class=nx_class, **attributes)
    return group


def _write_data(group: h5py.Group, table: SpectraTable, progress: Progress | None) -> None:
    axis_name = str(table.axis.quantity)
    group.attrs["signal"] = "intensity"
    group.attrs["axes"] = [".", axis_name]
    intensity = group.create_dataset(
        "intensity",
        shape=table.intensity.shape,
        maxshape=(None, table.n_points),
        dtype=table.intensity.dtype,
        chunks=(layout.CHUNK_SPECTRA, table.n_points),
        compression="gzip",
        compression_opts=GZIP_LEVEL,
        shuffle=True,
        fletcher32=True,
    )
    intensity.attrs["units"] = table.intensity_unit
    for start in range(0, table.n_spectra, BLOCK_SPECTRA):
        stop = min(start + BLOCK_SPECTRA, table.n_spectra)
        intensity[start:stop] = table.intensity[start:stop]
        if progress is not None:
            progress(stop - start)
    axis = group.create_dataset(axis_name, data=table.axis.values)
    axis.attrs["units"] = table.axis.unit
    axis.attrs["long_name"] = table.axis.label


def _write_samples(group: h5py.Group, table: SpectraTable) -> None:
    if table.labels is not None:
        names = {name: index for index, name in enumerate(table.class_names)} | {UNLABELLED_NAME: UNLABELLED}
        try:
            _column(group, "label", table.labels.astype(np.int32), layout.enumeration(names, "i4"))
        except ValueError as error:
            length = sum(len(name.encode()) for name in names)
            raise DatasetError(
                f"{len(names)} class names of {length} bytes do not fit into one HDF5 enumeration "
                f"(about 64 kB): {error}"
            ) from error
    for name, values in table.columns.items():
        column = _column(group, name, values, h5py.string_dtype() if values.dtype.kind == "U" else values.dtype)
        if name in layout.COLUMN_UNITS:
            column.attrs["units"] = layout.COLUMN_UNITS[name]


def _write_splits(group: h5py.Group, table: SpectraTable) -> None:
    group.attrs["group_by"] = table.group_by
    if table.split_seed is not None:
        group.attrs["seed"] = table.split_seed
    if table.holdout is not None:
        parts = layout.enumeration({part.name.lower(): int(part) for part in Holdout}, "i1")
        _column(group, "holdout", table.holdout, parts)
    group_by = find_groups(table)
    if table.labels is None or not group_by or len(np.unique(table.columns[group_by])) < N_FOLDS:
        return
    seed = table.split_seed or 0
    try:
        folds = stratified_folds(table.labels, table.columns[group_by], seed=seed)
    except DatasetError:
        # every class is rarer than five spectra: there are no stratified folds, and the file is valid without
        return
    column = _column(group, layout.FOLDS_DATASET, folds, folds.dtype)
    column.attrs.update(group_by=group_by, seed=seed)


def _column(group: h5py.Group, name: str, values: NDArray[Any], dtype: Any) -> h5py.Dataset:
    data = values.astype(object) if values.dtype.kind == "U" else values
    return group.create_dataset(
        name,
        data=data,
        dtype=dtype,
        maxshape=(None,),
        chunks=(max(1, min(len(values), 4096)),),
        compression="gzip",
        compression_opts=GZIP_LEVEL,
        shuffle=True,
        fletcher32=values.dtype.kind != "U",  # HDF5 cannot checksum text of varying length
    )


def _write_instrument(group: h5py.Group, instrument: Instrument) -> None:
    for name in ("name", "model", "serial_number"):
        if value := getattr(instrument, name):
            group[name] = value
    if instrument.laser_nm is not None:
        beam = _group(group, "beam_incident", "NXbeam")
        beam["wavelength"] = float(instrument.laser_nm)
        beam["wavelength"].attrs["units"] = "nm"


def _write_bands(group: h5py.Group, bands: SubstanceBands, unit: str) -> None:
    _column(group, "label", bands.label, np.int32)
    for name, values in (("position", bands.position), ("height", bands.height), ("width", bands.width)):
        column = _column(group, name, values, np.float64)
        column.attrs["units"] = "1" if name == "height" else unit


def _write_process(group: h5py.Group, step: ProcessStep, number: int) -> None:
    _write_texts(group, {"program": step.program, "version": step.version, "parameters": step.parameters})
    group["sequence_index"] = number


def _write_texts(group: h5py.Group, texts: Mapping[str, str]) -> None:
    for name, text in texts.items():
        group[name] = text
