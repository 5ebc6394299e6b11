"""Import numpy archives: ``X``, and where there ``y``, ``axis``, ``class_names``, ``group``, ``session``, ``split``."""

from __future__ import annotations

import hashlib
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from specnet.datasets.importing.draft import Draft, finish
from specnet.datasets.importing.labels import as_labels
from specnet.datasets.importing.options import ImportOptions
from specnet.datasets.table import Holdout, SpectraTable
from specnet.errors import DatasetError
from specnet.spectra import MAX_POINTS

MAX_ARRAYS = 256
MAX_ARCHIVE_BYTES = 4 * 2**30
"""Limit for all arrays together, uncompressed."""

COLUMN_NAMES = {"group": "sample_id", "session": "session_id"}
KNOWN = ("X", "y", "axis", "class_names", "split")


def import_npz(path: Path | str, options: ImportOptions | None = None) -> tuple[SpectraTable, list[str]]:
    """Read a numpy archive.

    Other arrays with one entry per spectrum become columns; ``group`` becomes ``sample_id``, ``session`` becomes
    ``session_id``.

    Parameters
    ----------
    path
        The archive. Pickled arrays are refused.
    options
        What the file does not say, and what to keep of it.

    Returns
    -------
    tuple
        The table, and sentences about what was assumed, dropped or lost.

    Raises
    ------
    DatasetError
        When it is no such archive, over the size limits, or its arrays do not agree.
    """
    path = Path(path)
    arrays = _read_archive(path)
    intensity = arrays.get("X")
    if intensity is None:
        raise DatasetError(f"{path}: no array X of spectra; arrays: {', '.join(arrays) or 'none'}")
    if intensity.ndim != 2 or intensity.dtype.kind not in "iuf" or not 2 <= intensity.shape[1] <= MAX_POINTS:
        raise DatasetError(
            f"{path}: X is {intensity.dtype} of shape {intensity.shape}, expected numbers "
            f"(n_spectra, 2 to {MAX_POINTS})"
        )
    n = len(intensity)
    labels, class_names = _labels(arrays, n, path)
    columns, notes = _columns(arrays, n)
    draft = Draft(
        intensity=intensity,
        axis=_axis(arrays.get("axis"), intensity.shape[1], path),
        labels=labels,
        class_names=class_names,
        columns=columns,
        holdout=_holdout(arrays.get("split"), n, path),
    )
    table, more = finish(draft, path, options or ImportOptions(), sha256_of(path))
    return table, notes + more


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_archive(path: Path) -> dict[str, NDArray[Any]]:
    if not path.is_file():
        raise DatasetError(f"{path}: no such file")
    try:
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if info.filename.endswith(".npy")]
            total = sum(info.file_size for info in members)
            if len(members) > MAX_ARRAYS or total > MAX_ARCHIVE_BYTES:
                raise DatasetError(
                    f"{path}: {len(members)} arrays of {total} bytes, "
                    f"the limits are {MAX_ARRAYS} and {MAX_ARCHIVE_BYTES}"
                )
            return {info.filename.removesuffix(".npy"): _read_member(archive, info, path) for info in members}
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        raise DatasetError(f"{path}: no readable numpy archive: {error}") from error


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> NDArray[Any]:
    """One array; numpy allocates what its header announces, so that is compared with the real size first."""
    name = info.filename
    try:
        with archive.open(info) as file:
            shape, dtype = _read_header(file)
            announced = int(np.prod([1, *shape], dtype=object)) * dtype.itemsize
            if dtype.hasobject:
                raise DatasetError(f"{path}: {name} holds Python objects, which are not loaded")
            if min(shape, default=0) < 0 or announced != info.file_size - file.tell():
                raise DatasetError(
                    f"{path}: {name} announces {dtype} of shape {shape} ({announced} bytes), "
                    f"but has {info.file_size - file.tell()} bytes"
                )
        with archive.open(info) as file:
            return np.asarray(np.lib.format.read_array(file, allow_pickle=False))
    except (ValueError, SyntaxError, KeyError, TypeError, RecursionError, MemoryError, tokenize.TokenError) as error:
        raise DatasetError(f"{path}: {name} is no numpy array: {error}") from error


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    elif version == (2, 0):
        shape, _, dtype = np.lib.format.read_array_header_2_0(file)
    else:
        raise ValueError(f"format {version} is not known")
    return shape, dtype


def _labels(arrays: dict[str, NDArray[Any]], n: int, path: Path) -> tuple[NDArray[np.int64] | None, tuple[str, ...]]:
    if "y" not in arrays:
        return None, ()
    names = arrays.get("class_names")
    if names is not None and (names.ndim != 1 or names.dtype.kind not in "US"):
        raise DatasetError(f"{path}: class_names is {names.dtype} of shape {names.shape}, expected text (n_classes,)")
    try:
        return as_labels(arrays["y"], n, None if names is None else tuple(str(name) for name in names.astype(str)))
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}") from error


def _columns(arrays: dict[str, NDArray[Any]], n: int) -> tuple[dict[str, NDArray[Any]], list[str]]:
    columns, notes = {}, []
    for name, values in arrays.items():
        if name in KNOWN:
            continue
        if values.shape != (n,) or values.dtype.kind not in "iufbU" or "/" in name or name == "label":
            notes.append(f"array {name} ({values.dtype}, shape {values.shape}) is no column and was left out")
            continue
        columns[COLUMN_NAMES.get(name, name)] = values
    return columns, notes


def _axis(axis: NDArray[Any] | None, n_points: int, path: Path) -> NDArray[np.float64] | None:
    if axis is None:
        return None
    if axis.shape != (n_points,) or axis.dtype.kind not in "iuf":
        raise DatasetError(
            f"{path}: axis is {axis.dtype} of shape {axis.shape}, expected ({n_points},) as X has points"
        )
    # float32 axes carry rounding noise (401.25000610); seven digits are what they hold
    return np.array([float(str(value)) for value in axis]) if axis.dtype == np.float32 else axis.astype(np.float64)


def _holdout(split: NDArray[Any] | None, n: int, path: Path) -> NDArray[np.int8] | None:
    if split is None:
        return None
    if split.shape != (n,) or split.dtype.kind not in "iu" or not np.isin(split, [int(part) for part in Holdout]).all():
        raise DatasetError(
            f"{path}: split is {split.dtype} of shape {split.shape}, expected ({n},) of 0 train, 1 calibration, 2 test"
        )
    return split.astype(np.int8)
