"""Recorded spectra for the simulated board."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specnet.errors import ConfigurationError, DatasetError
from specnet.spectra import MAX_POINTS

MAX_REPLAY_BYTES = 1 << 30
MAX_COUNT = 2**32 - 1
SPLITS = ("train", "calibration", "test")


def load_replay(path: Path | str, *, split: str = "", limit: int = 0) -> NDArray[np.uint32]:
    """Read spectra to be replayed, ADC counts ``(n, n_points)``, in the order of the file.

    Parameters
    ----------
    path
        ``.npz`` with an array `intensity` (and `holdout`, 0 train, 1 calibration, 2 test, when a split is asked for),
        or a file of spectra ``.h5``, for which the extra ``train`` must be installed.
    split
        ``train``, ``calibration`` or ``test``; all spectra when empty.
    limit
        At most this many, from the beginning; 0 means all.

    Raises
    ------
    DatasetError
        When the file is missing, damaged, too large, lacks the split, or its values are no counts.
    ConfigurationError
        For an unknown split, or an ``.h5`` file without what is needed to read it.
    """
    path = Path(path)
    if split and split not in SPLITS:
        raise ConfigurationError(f"unknown split {split!r}; known: {', '.join(SPLITS)}")
    if limit < 0:
        raise ConfigurationError(f"limit is 0 or more, got {limit}")
    if not path.is_file():
        raise DatasetError(f"there is no file {path}")
    intensity, holdout = _read_npz(path) if path.suffix == ".npz" else _read_hdf5(path)
    if split:
        if holdout is None or len(holdout) != len(intensity):
            raise DatasetError(f"{path} has no split, so there is no part {split!r}")
        intensity = intensity[holdout == SPLITS.index(split)]
    if limit:
        intensity = intensity[:limit]
    return _as_counts(intensity, path)


def _read_npz(path: Path) -> tuple[NDArray[Any], NDArray[Any] | None]:
    try:
        # the announced sizes are checked first: a small compressed file can unpack to more than the memory has
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > MAX_REPLAY_BYTES:
            raise DatasetError(f"{path} unpacks to {size} bytes, at most {MAX_REPLAY_BYTES} are accepted")
        with np.load(path, allow_pickle=False) as arrays:
            if "intensity" not in arrays.files:
                raise DatasetError(f"{path} has arrays {arrays.files[:10]}, expected 'intensity'")
            return arrays["intensity"], arrays["holdout"] if "holdout" in arrays.files else None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DatasetError(f"{path} is no usable .npz file: {error}") from error


def _read_hdf5(path: Path) -> tuple[NDArray[Any], NDArray[Any] | None]:
    # the only place where the device package reaches for the learning side, and only on a developer's machine
    try:
        from specnet.datasets import read_spectra
    except ImportError as error:
        raise ConfigurationError(
            f"reading {path} needs the extra: pip install 'specnet-edge[train]' ({error.name} is missing); "
            "an .npz file with an array 'intensity' works without"
        ) from error
    table = read_spectra(path)
    return table.intensity, table.holdout


def _as_counts(intensity: NDArray[Any], path: Path) -> NDArray[np.uint32]:
    if intensity.ndim != 2 or not len(intensity) or not 2 <= intensity.shape[1] <= MAX_POINTS:
        raise DatasetError(f"{path} has no spectra (n, n_points) to replay, but an array of shape {intensity.shape}")
    if intensity.dtype.kind not in "iuf" or not np.isfinite(intensity).all():
        raise DatasetError(f"{path} has intensities of type {intensity.dtype} that are not all finite numbers")
    low, high = float(intensity.min()), float(intensity.max())
    if low < 0 or high > MAX_COUNT:
        raise DatasetError(f"ADC counts are from 0 to {MAX_COUNT}, {path} has {low:g} to {high:g}")
    rounded = np.rint(intensity)
    # a reflectance between 0 and 1 would become nothing but zeros and ones
    if np.abs(rounded - intensity).max() > 0.01 * max(high - low, 1.0):
        raise DatasetError(f"{path} has intensities from {low:g} to {high:g}, too small to be rounded to ADC counts")
    return np.asarray(rounded, dtype=np.uint32)
