"""A file of spectra in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from specnet.datasets.bands import SubstanceBands
from specnet.errors import DatasetError, SpectrumError
from specnet.spectra import SpectralAxis

INTENSITY_DTYPES = (np.dtype(np.uint16), np.dtype(np.uint32), np.dtype(np.float32))
UNLABELLED = -1
UNLABELLED_NAME = "(unlabelled)"


class Holdout(IntEnum):
    """What a spectrum is for. Written to files by lower-case name."""

    TRAIN = 0
    CALIBRATION = 1
    TEST = 2


@dataclass(frozen=True)
class Instrument:
    """The spectrometer.

    Parameters
    ----------
    name, model, serial_number
        As far as they are known, empty otherwise.
    laser_nm
        Excitation line in nm.

    Raises
    ------
    DatasetError
        When the laser line is not positive and finite.
    """

    name: str = ""
    model: str = ""
    serial_number: str = ""
    laser_nm: float | None = None

    def __post_init__(self) -> None:
        if self.laser_nm is not None and not (np.isfinite(self.laser_nm) and self.laser_nm > 0):
            raise DatasetError(f"a laser line is positive and finite in nm, got {self.laser_nm}")


@dataclass(frozen=True)
class ProcessStep:
    """One step that was applied to the intensities before they were written.

    Parameters
    ----------
    program, version
        What did it.
    parameters
        JSON text.
    """

    program: str
    version: str = ""
    parameters: str = "{}"


@dataclass(frozen=True, eq=False)
class SpectraTable:
    """Spectra with everything that is known about them.

    Parameters
    ----------
    intensity
        ``(n_spectra, n_points)`` uint16, uint32 or float32, finite.
    axis
        What the last axis of `intensity` means.
    labels
        ``(n_spectra,)`` index into `class_names`, -1 where the class is not known; None without labels.
    class_names
        Unique, not empty.
    columns
        Per-spectrum columns by name: sample_id, session_id, instrument_id, laser_nm ... integers, floats, booleans or
        strings, each ``(n_spectra,)``.
    holdout
        ``(n_spectra,)`` of `Holdout`; None when the spectra are not split.
    group_by
        Column whose groups lie wholly in one part of `holdout`; empty when it was not grouped.
    split_seed
        Seed that made `holdout`, where it was made with one.
    intensity_unit
        ``"counts"``, ``"a.u."``, ...
    title, experiment_type
        ``experiment_type`` is "Raman", "NIR", "FTIR", "LIBS", ...
    instrument
        The spectrometer.
    provenance
        source_url, doi, license, sha256, command, ...
    processing
        Steps applied to the intensities, first to last.
    bands
        True bands of the classes, where they are known (simulated spectra).

    Raises
    ------
    DatasetError
        When shapes, types or names do not agree.
    SpectrumError
        When intensities are not finite.
    """

    intensity: NDArray[Any]
    axis: SpectralAxis
    labels: NDArray[np.int64] | None = None
    class_names: tuple[str, ...] = ()
    columns: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    holdout: NDArray[np.int8] | None = None
    group_by: str = ""
    split_seed: int | None = None
    intensity_unit: str = "counts"
    title: str = ""
    experiment_type: str = ""
    instrument: Instrument = Instrument()
    provenance: Mapping[str, str] = field(default_factory=dict)
    processing: tuple[ProcessStep, ...] = ()
    bands: SubstanceBands | None = None

    def __post_init__(self) -> None:
        intensity = check_table_intensity(self.intensity, self.axis)
        n = len(intensity)
        names = check_class_names(self.class_names)
        labels = None if self.labels is None else check_labels(self.labels, n, names)
        columns = {name: check_column(name, values, n) for name, values in self.columns.items()}
        holdout = None if self.holdout is None else check_holdout(self.holdout, n)
        if self.group_by and self.group_by not in columns:
            raise DatasetError(
                f"split by {self.group_by!r}, which is no column; columns: {', '.join(columns) or 'none'}"
            )
        if self.bands is not None and self.bands.label.size and self.bands.label.max() >= len(names):
            raise DatasetError(f"bands are of {self.bands.label.max() + 1} classes, there are {len(names)}")
        for key, value in self.provenance.items():
            if not (isinstance(key, str) and isinstance(value, str)):
                raise DatasetError(f"provenance is text by name, got {key!r}: {value!r}")
        checked = {
            "intensity": intensity,
            "class_names": names,
            "labels": labels,
            "columns": columns,
            "holdout": holdout,
        }
        for name, values in checked.items():
            object.__setattr__(self, name, values)

    @property
    def n_spectra(self) -> int:
        """Number of spectra."""
        return int(self.intensity.shape[0])

    @property
    def n_points(self) -> int:
        """Number of points of each spectrum."""
        return int(self.intensity.shape[1])

    def select(self, indices: ArrayLike) -> SpectraTable:
        """Table of the spectra at `indices` (integers or a mask), in that order; class names stay as they are."""
        rows = np.arange(self.n_spectra)[np.asarray(indices)]
        return replace(
            self,
            intensity=self.intensity[rows],
            labels=None if self.labels is None else self.labels[rows],
            columns={name: values[rows] for name, values in self.columns.items()},
            holdout=None if self.holdout is None else self.holdout[rows],
        )

    def rows(self, holdout: Holdout) -> NDArray[np.int64]:
        """Find the spectra in one part of the split; `DatasetError` when there is no split."""
        if self.holdout is None:
            raise DatasetError(f"these spectra are not split, so there is no {holdout.name.lower()} part")
        return np.flatnonzero(self.holdout == holdout)


def check_table_intensity(intensity: NDArray[Any], axis: SpectralAxis) -> NDArray[Any]:
    """Check that intensities fit the axis; the error names both shapes."""
    if not isinstance(intensity, np.ndarray) or intensity.ndim != 2 or intensity.shape[1] != axis.n_points:
        found = getattr(intensity, "shape", type(intensity).__name__)
        raise DatasetError(f"intensity has shape {found}, expected (n_spectra, {axis.n_points}) as the axis has points")
    if intensity.dtype not in INTENSITY_DTYPES:
        raise DatasetError(f"intensity is {intensity.dtype}, expected {', '.join(map(str, INTENSITY_DTYPES))}")
    if intensity.dtype.kind == "f":
        bad = ~np.isfinite(intensity).all(axis=1)
        if bad.any():
            raise SpectrumError(
                f"{int(bad.sum())} of {len(bad)} spectra have NaN or infinite points "
                f"(first: spectrum {int(np.argmax(bad))})"
            )
    return intensity


def check_class_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """Check that class names can travel in a file: unique, not empty, without NUL."""
    names = tuple(str(name) for name in names)
    for name in names:
        if not name or "\0" in name or name == UNLABELLED_NAME:
            raise DatasetError(f"{name!r} cannot be a class name")
    if len(set(names)) != len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise DatasetError(f"class names are unique, these are not: {', '.join(twice[:5])}")
    return names


def check_labels(labels: NDArray[Any], n_spectra: int, class_names: tuple[str, ...]) -> NDArray[np.int64]:
    """Check labels as int64 that index into `class_names`, -1 for unlabelled."""
    array = _vector("labels", labels, n_spectra, "iu").astype(np.int64)
    if array.size and not (array.min() >= UNLABELLED and array.max() < len(class_names)):
        raise DatasetError(f"labels run from {array.min()} to {array.max()}, expected -1 to {len(class_names) - 1}")
    return array


def check_holdout(holdout: NDArray[Any], n_spectra: int) -> NDArray[np.int8]:
    """Check a split as int8 of `Holdout` values."""
    array = _vector("holdout", holdout, n_spectra, "iu")
    if not np.isin(array, [int(part) for part in Holdout]).all():
        raise DatasetError(f"holdout has values {np.unique(array)[:10].tolist()}, expected {[int(p) for p in Holdout]}")
    return array.astype(np.int8)


def check_column(name: str, values: NDArray[Any], n_spectra: int) -> NDArray[Any]:
    """Check a per-spectrum column of integers, floats, booleans or strings."""
    if not name or "/" in name or "\0" in name or name.startswith(".") or name == "label":
        raise DatasetError(f"{name!r} cannot be the name of a column")
    return _vector(f"column {name!r}", values, n_spectra, "iufbU")


def _vector(what: str, values: NDArray[Any], n_spectra: int, kinds: str) -> NDArray[Any]:
    array = np.asarray(values)
    if array.shape != (n_spectra,):
        raise DatasetError(f"{what} has shape {array.shape}, expected ({n_spectra},)")
    # an empty Python list arrives as float, which is no mistake of the caller
    if array.dtype.kind not in kinds and array.size:
        raise DatasetError(f"{what} is of type {array.dtype}, expected integers, floats, booleans or strings")
    return array
