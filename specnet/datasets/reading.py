"""Read spectra from NeXus-style HDF5: specnet's own files and conforming ones of other programs."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray

from specnet.datasets import layout
from specnet.datasets.metadata import Metadata, SignalData, find_entry, find_signal, read_metadata
from specnet.datasets.table import SpectraTable
from specnet.errors import DatasetError

BLOCK_BYTES = 64 * 2**20
CACHE_BYTES = 32 * 2**20


class SpectraFile:
    """A file of spectra: everything but the intensities is read at once, intensities on demand.

    Usable as a context manager. A handle belongs to the process that opened it.

    Parameters
    ----------
    path
        The HDF5 file.

    Attributes
    ----------
    axis, labels, class_names, columns, holdout, group_by, split_seed, intensity_unit, title, experiment_type,
    instrument, provenance, processing, bands
        As in `SpectraTable`.
    folds
        ``(n_spectra,)`` int8 fold number of the stored five-fold split by group; None when there is none.

    Raises
    ------
    DatasetError
        When the file is missing, damaged, foreign, written in a newer format, or over a size limit.
    AxisError
        When its axis is not a spectral axis.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._file = _open(self.path)
        try:
            with layout.damage_as_dataset_error(self.path):
                entry = find_entry(self._file, self.path)
                self._signal: SignalData = find_signal(entry, self.path)
                self.metadata: Metadata = read_metadata(entry, self._signal, self.path)
        except BaseException:
            self._file.close()
            raise
        meta = self.metadata
        self.axis = self._signal.axis
        self.labels, self.class_names, self.columns = meta.labels, meta.class_names, meta.columns
        self.holdout, self.group_by, self.split_seed, self.folds = (
            meta.holdout,
            meta.group_by,
            meta.split_seed,
            meta.folds,
        )
        self.title, self.experiment_type, self.instrument = meta.title, meta.experiment_type, meta.instrument
        self.provenance, self.processing, self.bands = meta.provenance, meta.processing, meta.bands
        self.intensity_unit = self._signal.unit
        self.n_spectra, self.n_points = self._signal.n_spectra, self.axis.n_points
        self.dtype = self._signal.dtype

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; reading is over, what was read at opening stays."""
        self._file.close()

    def read(self, rows: slice | ArrayLike) -> NDArray[Any]:
        """Intensities ``(n_rows, n_points)`` of `rows`, in the order asked for.

        Rows may be a slice, indices (repeated and in any order) or a mask. Inside, neighbouring chunks are read as one
        block: HDF5 is slow at long lists of rows.

        Raises
        ------
        DatasetError
            When a row is not there or the data is damaged.
        """
        wanted = self._row_numbers(rows)
        out = np.empty((len(wanted), self.n_points), self.dtype)
        order = np.argsort(wanted, kind="stable")
        ascending = wanted[order]
        for start, stop in self._blocks(ascending):
            first, last = np.searchsorted(ascending, (start, stop))
            with layout.damage_as_dataset_error(self.path):
                block = self._signal.read(start, stop)
            out[order[first:last]] = block[ascending[first:last] - start]
        return out

    def _row_numbers(self, rows: slice | ArrayLike) -> NDArray[np.int64]:
        try:
            return np.arange(self.n_spectra)[rows if isinstance(rows, slice) else _as_index(rows)]
        except IndexError as error:
            raise DatasetError(f"{self.path} has {self.n_spectra} spectra: {error}") from error

    def _blocks(self, ascending: NDArray[np.int64]) -> list[tuple[int, int]]:
        """Cover the rows by runs of whole chunks, each bounded in bytes."""
        chunk = self._signal.chunk_spectra
        touched = np.unique(ascending // chunk)
        if not len(touched):
            return []
        per_block = max(1, BLOCK_BYTES // max(1, chunk * self.n_points * self.dtype.itemsize))
        runs = np.split(touched, np.flatnonzero(np.diff(touched) > 1) + 1)
        pieces = [run[i : i + per_block] for run in runs for i in range(0, len(run), per_block)]
        return [(int(piece[0]) * chunk, min((int(piece[-1]) + 1) * chunk, self.n_spectra)) for piece in pieces]


def read_spectra(path: Path | str) -> SpectraTable:
    """Read a whole file into memory.

    Raises
    ------
    DatasetError
        When the file is missing, damaged, foreign, written in a newer format, or its spectra need more than 4 GiB.
    AxisError
        When its axis is not a spectral axis.
    SpectrumError
        When intensities are not finite.
    """
    with SpectraFile(path) as file:
        n_bytes = file.n_spectra * file.n_points * file.dtype.itemsize
        if n_bytes > layout.MAX_TABLE_BYTES:
            layout.refuse(
                file.path,
                f"{file.n_spectra} x {file.n_points} spectra need {n_bytes} bytes, over the limit of "
                f"{layout.MAX_TABLE_BYTES}; SpectraFile reads them in parts",
            )
        return SpectraTable(
            intensity=file.read(slice(None)),
            axis=file.axis,
            labels=file.labels,
            class_names=file.class_names,
            columns=file.columns,
            holdout=file.holdout,
            group_by=file.group_by,
            split_seed=file.split_seed,
            intensity_unit=file.intensity_unit,
            title=file.title,
            experiment_type=file.experiment_type,
            instrument=file.instrument,
            provenance=file.provenance,
            processing=file.processing,
            bands=file.bands,
        )


def _open(path: Path) -> h5py.File:
    if not path.is_file():
        layout.refuse(path, "no such file")
    try:
        return h5py.File(path, "r", rdcc_nbytes=CACHE_BYTES)
    except OSError as error:
        kind = "a truncated HDF5 file" if "truncated" in str(error) else "not an HDF5 file, or a damaged one"
        raise DatasetError(f"{path}: {kind}: {' '.join(str(error).split())}") from error


def _as_index(rows: ArrayLike) -> NDArray[Any]:
    index = np.asarray(rows)
    return index.astype(np.int64) if index.size == 0 else index
