"""Class labels from whatever a file has: indices, numbers or names."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from specnet.datasets.table import UNLABELLED
from specnet.errors import DatasetError


def as_labels(
    values: NDArray[Any], n_spectra: int, class_names: tuple[str, ...] | None
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Labels as indices into class names.

    Parameters
    ----------
    values
        ``(n_spectra,)`` indices into `class_names` (-1 for unlabelled), or without class names any whole numbers or
        texts, which then become the names themselves; an empty text is unlabelled.
    n_spectra
        Expected length.
    class_names
        When the file has them.

    Returns
    -------
    tuple
        ``(n_spectra,)`` int64 and the class names.

    Raises
    ------
    DatasetError
        When the length is wrong, a label is not whole or has no name.
    """
    if values.shape != (n_spectra,):
        raise DatasetError(f"labels have shape {values.shape}, expected ({n_spectra},) as there are spectra")
    if values.dtype.kind == "U":
        return _from_text(values, class_names)
    if values.dtype.kind == "f" and np.isfinite(values).all() and (values == np.floor(values)).all():
        values = values.astype(np.int64)
    if values.dtype.kind not in "iub":
        raise DatasetError(f"labels are {values.dtype}, expected whole numbers or text")
    values = values.astype(np.int64)
    if class_names is None:
        found = np.unique(values)
        return np.searchsorted(found, values).astype(np.int64), tuple(str(number) for number in found)
    if values.size and (values.min() < UNLABELLED or values.max() >= len(class_names)):
        raise DatasetError(f"labels run from {values.min()} to {values.max()}, expected -1 to {len(class_names) - 1}")
    return values, class_names


def _from_text(values: NDArray[Any], class_names: tuple[str, ...] | None) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    found = [str(name) for name in np.unique(values) if name]
    names = class_names if class_names is not None else tuple(found)
    unknown = sorted(set(found) - set(names))
    if unknown:
        raise DatasetError(f"labels {unknown[:5]} are not among the {len(names)} class names")
    index = {name: number for number, name in enumerate(names)} | {"": UNLABELLED}
    return np.array([index[str(value)] for value in values], np.int64), names
