"""Everything in a file of spectra but the intensities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from specnet.datasets import layout
from specnet.datasets.bands import SubstanceBands
from specnet.datasets.columns import read_codes, read_column, read_labels, read_number, read_text
from specnet.datasets.layout import child, refuse, text_attribute
from specnet.datasets.table import INTENSITY_DTYPES, Holdout, Instrument, ProcessStep
from specnet.errors import DatasetError
from specnet.spectra import MAX_POINTS, Quantity, SpectralAxis


@dataclass(frozen=True)
class SignalData:
    """The intensities of an open file.

    Parameters
    ----------
    dataset
        ``(n_spectra, n_points)``.
    axis
        Ascending axis.
    descending
        Whether the file keeps points the other way round.
    unit
        Of the intensities.
    dtype
        uint16, uint32 or float32: what `read` returns.
    """

    dataset: h5py.Dataset
    axis: SpectralAxis
    descending: bool
    unit: str
    dtype: np.dtype[Any]

    @property
    def n_spectra(self) -> int:
        """Number of spectra."""
        return int(self.dataset.shape[0])

    @property
    def chunk_spectra(self) -> int:
        """Spectra that one read costs anyway."""
        return int(self.dataset.chunks[0]) if self.dataset.chunks else 1

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Read intensities ``(stop - start, n_points)`` along the ascending axis."""
        block: NDArray[Any] = self.dataset[start:stop].astype(self.dtype, copy=False)
        return block[:, ::-1] if self.descending else block


@dataclass(frozen=True)
class Metadata:
    """What `SpectraFile` knows before any spectrum is read; the fields are those of `SpectraTable`."""

    title: str
    experiment_type: str
    labels: NDArray[np.int64] | None
    class_names: tuple[str, ...]
    columns: Mapping[str, NDArray[Any]]
    holdout: NDArray[np.int8] | None
    group_by: str
    split_seed: int | None
    folds: NDArray[np.int8] | None
    instrument: Instrument
    provenance: Mapping[str, str]
    processing: tuple[ProcessStep, ...]
    bands: SubstanceBands | None


def find_entry(file: h5py.File, path: Path) -> h5py.Group:
    """Find the entry to show: the one that ``@default`` names, else the first NXentry."""
    if text_attribute(file, "format_name") == layout.FORMAT_NAME:
        version = text_attribute(file, "format_version")
        major = version.split(".")[0]
        if not major.isdecimal() or int(major) > int(layout.FORMAT_VERSION.split(".")[0]):
            refuse(
                path, f"written in format {version or 'without version'}, this release reads {layout.FORMAT_VERSION}"
            )
    entry = _default_child(file, "NXentry", path)
    if entry is None:
        refuse(path, "an HDF5 file, but not of spectra: no NXentry group")
    return entry


def find_signal(entry: h5py.Group, path: Path) -> SignalData:
    """Find intensities and axis of the entry, following ``@default``, ``@signal`` and ``@axes``."""
    data = _default_child(entry, "NXdata", path)
    if data is None:
        refuse(path, "an HDF5 file, but not of spectra: no NXdata group")
    name = text_attribute(data, "signal")
    dataset = child(data, name, path) if name else None
    if not isinstance(dataset, h5py.Dataset):
        refuse(path, f"{data.name} has no dataset {name or 'that @signal names'!r}")
    _check_signal(dataset, path)
    axis, descending = _read_axis(data, path)
    if dataset.shape[1] != axis.n_points:
        refuse(path, f"intensity has {dataset.shape[1]} points, its axis {axis.n_points}")
    dtype = dataset.dtype if dataset.dtype in INTENSITY_DTYPES else np.dtype(np.float32)
    return SignalData(dataset, axis, descending, text_attribute(dataset, "units"), dtype)


def read_metadata(entry: h5py.Group, signal: SignalData, path: Path) -> Metadata:
    """Read labels, columns, split, instrument and provenance of an entry."""
    n = signal.n_spectra
    samples, splits = _group(entry, "samples", path), _group(entry, "splits", path)
    labels, class_names = read_labels(samples, n, path)
    columns = _read_columns(samples, n, path)
    group_by = text_attribute(splits, "group_by") if splits is not None else ""
    if group_by and group_by not in columns:
        refuse(path, f"split by {group_by!r}, but samples/ has no such column")
    seed = splits.attrs.get("seed") if splits is not None else None
    return Metadata(
        title=read_text(entry, "title", path),
        experiment_type=read_text(entry, "experiment_type", path),
        labels=labels,
        class_names=class_names,
        columns=columns,
        holdout=_read_holdout(splits, n, path),
        group_by=group_by,
        split_seed=None if seed is None else int(seed),
        folds=_read_folds(splits, n, path),
        instrument=_read_instrument(entry, path),
        provenance=_read_provenance(entry, path),
        processing=_read_processing(entry, path),
        bands=_read_bands(entry, len(class_names), path),
    )


def _default_child(group: h5py.Group, nx_class: str, path: Path) -> h5py.Group | None:
    names = [text_attribute(group, "default"), *sorted(group)]
    for name in names:
        found = child(group, name, path) if name else None
        if isinstance(found, h5py.Group) and text_attribute(found, "NX_class") == nx_class:
            return found
    return None


def _check_signal(dataset: h5py.Dataset, path: Path) -> None:
    if dataset.ndim != 2 or dataset.dtype.kind not in "iuf":
        refuse(path, f"intensity is {dataset.dtype} of shape {dataset.shape}, expected numbers (n_spectra, n_points)")
    if dataset.shape[1] > MAX_POINTS or dataset.shape[0] > layout.MAX_SPECTRA:
        refuse(
            path, f"announces {dataset.shape} spectra x points, the limits are {layout.MAX_SPECTRA} and {MAX_POINTS}"
        )
    chunk_bytes = int(np.prod(dataset.chunks or (1,), dtype=np.int64)) * dataset.dtype.itemsize
    if chunk_bytes > layout.MAX_CHUNK_BYTES:
        refuse(path, f"announces chunks of {chunk_bytes} bytes, the limit is {layout.MAX_CHUNK_BYTES}")


def _read_axis(data: h5py.Group, path: Path) -> tuple[SpectralAxis, bool]:
    axes = layout.text_list_attribute(data, "axes")
    name = axes[-1] if axes else ""
    dataset = child(data, name, path) if name not in ("", ".") else None
    if not isinstance(dataset, h5py.Dataset):
        refuse(path, f"{data.name} has no spectral axis: @axes is {axes}, and its last name is no dataset there")
    if name not in list(Quantity):
        refuse(path, f"axis {name!r} is unknown, expected one of {layout.known_quantities()}")
    if dataset.ndim != 1 or dataset.shape[0] > MAX_POINTS or dataset.dtype.kind not in "iuf":
        refuse(path, f"axis is {dataset.dtype} of shape {dataset.shape}, expected at most {MAX_POINTS} numbers")
    unit = text_attribute(dataset, "units")
    if not unit:
        refuse(path, f"axis {name!r} has no unit (attribute @units)")
    values = dataset[()].astype(np.float64)
    descending = values.size > 1 and bool(values[0] > values[-1])
    unit = layout.UNIT_SPELLINGS.get(unit, unit)
    return SpectralAxis(values[::-1] if descending else values, Quantity(name), unit), descending


def _group(entry: h5py.Group, name: str, path: Path) -> h5py.Group | None:
    found = child(entry, name, path)
    return found if isinstance(found, h5py.Group) else None


def _read_columns(samples: h5py.Group | None, n_spectra: int, path: Path) -> dict[str, NDArray[Any]]:
    names = [] if samples is None else [name for name in samples if name != "label"]
    if len(names) > layout.MAX_COLUMNS:
        refuse(path, f"has {len(names)} columns, the limit is {layout.MAX_COLUMNS}")
    return {} if samples is None else {name: read_column(samples, name, n_spectra, path) for name in names}


def _read_holdout(splits: h5py.Group | None, n_spectra: int, path: Path) -> NDArray[np.int8] | None:
    if splits is None or "holdout" not in splits:
        return None
    codes, names = read_codes(splits, "holdout", n_spectra, path)
    holdout = np.full(n_spectra, -1, np.int8)
    for name, code in names.items():
        if name.upper() in Holdout.__members__:
            holdout[codes == code] = Holdout[name.upper()]
    if (holdout < 0).any():
        refuse(path, f"holdout has unknown values; its names are {sorted(names)}, expected train, calibration, test")
    return holdout


def _read_folds(splits: h5py.Group | None, n_spectra: int, path: Path) -> NDArray[np.int8] | None:
    if splits is None or layout.FOLDS_DATASET not in splits:
        return None
    return read_column(splits, layout.FOLDS_DATASET, n_spectra, path).astype(np.int8)


def _read_instrument(entry: h5py.Group, path: Path) -> Instrument:
    group = _group(entry, "instrument", path)
    if group is None:
        return Instrument()
    beam = _group(group, "beam_incident", path)
    texts = {name: read_text(group, name, path) for name in ("name", "model", "serial_number")}
    return Instrument(**texts, laser_nm=None if beam is None else read_number(beam, "wavelength", path))


def _read_provenance(entry: h5py.Group, path: Path) -> dict[str, str]:
    group = _group(entry, "provenance", path)
    return {} if group is None else {name: read_text(group, name, path) for name in list(group)[: layout.MAX_COLUMNS]}


def _read_processing(entry: h5py.Group, path: Path) -> tuple[ProcessStep, ...]:
    steps: list[ProcessStep] = []
    while (group := _group(entry, f"process_{len(steps) + 1}", path)) is not None:
        fields = {name: read_text(group, name, path) for name in ("program", "version", "parameters")}
        steps.append(ProcessStep(**fields))
    return tuple(steps)


def _read_bands(entry: h5py.Group, n_classes: int, path: Path) -> SubstanceBands | None:
    group = _group(entry, layout.BANDS_GROUP, path)
    dataset = None if group is None else child(group, "label", path)
    # another program's group of this name is no mistake
    if group is None or not isinstance(dataset, h5py.Dataset) or dataset.ndim != 1:
        return None
    n_bands = int(dataset.shape[0])
    if n_bands > layout.MAX_BANDS:
        refuse(path, f"announces {n_bands} bands of substances, the limit is {layout.MAX_BANDS}")
    columns = {name: read_column(group, name, n_bands, path) for name in ("label", "position", "height", "width")}
    try:
        bands = SubstanceBands(**columns)
    except DatasetError as error:
        refuse(path, str(error))
    if n_bands and bands.label.max() >= n_classes:
        refuse(path, f"bands are of {bands.label.max() + 1} classes, the labels have {n_classes}")
    return bands
