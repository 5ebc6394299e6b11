"""Single values and per-spectrum columns of a file of spectra, each within limits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from specnet.datasets import layout
from specnet.datasets.layout import child, refuse
from specnet.datasets.table import UNLABELLED, UNLABELLED_NAME

MAX_COLUMN_BYTES = 2**30


def read_column(group: h5py.Group, name: str, n_spectra: int, path: Path) -> NDArray[Any]:
    """Read a column ``(n_spectra,)`` of integers, floats, booleans or strings."""
    dataset = child(group, name, path)
    if not isinstance(dataset, h5py.Dataset):
        refuse(path, f"{group.name}/{name} is no column")
    _check_column(dataset, n_spectra, path)
    if h5py.check_string_dtype(dataset.dtype) is None:
        return np.asarray(dataset[()])
    return _as_text(dataset, path)


def read_codes(group: h5py.Group, name: str, n_spectra: int, path: Path) -> tuple[NDArray[np.int64], dict[str, int]]:
    """Read an enumerated column as ``(n_spectra,)`` integers, and the integer of each name.

    Raises
    ------
    DatasetError
        When the column is no HDF5 enumeration or has values without a name.
    """
    dataset = child(group, name, path)
    names = h5py.check_enum_dtype(dataset.dtype) if isinstance(dataset, h5py.Dataset) else None
    if not isinstance(dataset, h5py.Dataset) or names is None:
        refuse(path, f"{group.name}/{name} is no HDF5 enumeration, so its values have no names")
    _check_column(dataset, n_spectra, path)
    codes = np.asarray(dataset[()]).astype(np.int64)
    unknown = np.setdiff1d(codes, list(names.values()))
    if len(unknown):
        refuse(
            path, f"{group.name}/{name} has values {unknown[:10].tolist()} that its {len(names)} names do not explain"
        )
    return codes, {str(key): int(value) for key, value in names.items()}


def read_labels(
    samples: h5py.Group | None, n_spectra: int, path: Path
) -> tuple[NDArray[np.int64] | None, tuple[str, ...]]:
    """Read labels as indices into the class names, which are in the order of their codes; None without labels."""
    if samples is None or "label" not in samples:
        return None, ()
    codes, names = read_codes(samples, "label", n_spectra, path)
    named = {name: code for name, code in names.items() if name != UNLABELLED_NAME}
    class_names = tuple(sorted(named, key=lambda name: named[name]))
    ordered = np.array([named[name] for name in class_names], np.int64)
    index = np.searchsorted(ordered, codes)
    index[~np.isin(codes, ordered)] = UNLABELLED
    return index.astype(np.int64), class_names


def read_text(group: h5py.Group, name: str, path: Path) -> str:
    """Read a text of a group, empty when it is not there."""
    dataset = child(group, name, path)
    if not isinstance(dataset, h5py.Dataset):
        return ""
    if h5py.check_string_dtype(dataset.dtype) is None or dataset.size != 1 or dataset.dtype.itemsize > layout.MAX_TEXT:
        refuse(path, f"{group.name}/{name} is {dataset.dtype} of shape {dataset.shape}, expected one text")
    value = dataset.asstr(errors="replace")[()]
    text = str(value) if dataset.shape == () else str(np.ravel(value)[0])
    if len(text) > layout.MAX_TEXT:
        refuse(path, f"{group.name}/{name} is a text of {len(text)} characters, the limit is {layout.MAX_TEXT}")
    return text


def read_number(group: h5py.Group, name: str, path: Path) -> float | None:
    """Read a number of a group; None when it is not there."""
    dataset = child(group, name, path)
    if not isinstance(dataset, h5py.Dataset):
        return None
    if dataset.size != 1 or dataset.dtype.kind not in "iuf":
        refuse(path, f"{group.name}/{name} is {dataset.dtype} of shape {dataset.shape}, expected one number")
    return float(np.ravel(dataset[()])[0])


def _check_column(dataset: h5py.Dataset, n_spectra: int, path: Path) -> None:
    if dataset.shape != (n_spectra,):
        refuse(path, f"{dataset.name} has shape {dataset.shape}, expected ({n_spectra},) as there are spectra")
    is_text = h5py.check_string_dtype(dataset.dtype) is not None
    if not is_text and dataset.dtype.kind not in "iufb":
        refuse(path, f"{dataset.name} is of type {dataset.dtype}, expected integers, floats, booleans or text")
    chunk = int(np.prod(dataset.chunks or (1,), dtype=np.int64))
    for n_bytes in (dataset.nbytes, chunk * dataset.dtype.itemsize):
        if n_bytes > MAX_COLUMN_BYTES:
            refuse(path, f"{dataset.name} announces {n_bytes} bytes, the limit is {MAX_COLUMN_BYTES}")


def _as_text(dataset: h5py.Dataset, path: Path) -> NDArray[Any]:
    values = [str(value) for value in dataset.asstr(errors="replace")[()]]
    longest = max(map(len, values), default=0)
    if longest * 4 * len(values) > MAX_COLUMN_BYTES:
        refuse(path, f"{dataset.name} has texts of {longest} characters, {len(values)} of them are over the limit")
    return np.array(values, dtype=f"U{max(1, longest)}")
