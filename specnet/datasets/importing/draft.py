"""Spectra on their way into a table: not yet checked, possibly with holes, from which parts are selected."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import specnet
from specnet.datasets.importing.options import ImportOptions, guess_quantity
from specnet.datasets.splits import GROUP_COLUMNS, leaking_groups
from specnet.datasets.table import UNLABELLED, Instrument, ProcessStep, SpectraTable
from specnet.errors import DatasetError
from specnet.spectra import UNITS, SpectralAxis


@dataclass(frozen=True, eq=False)
class Draft:
    """Arrays as an importer found them.

    Parameters
    ----------
    intensity
        ``(n_spectra, n_points)`` numbers; NaN is allowed here.
    axis
        ``(n_points,)`` in the file's order; None when the file has none.
    labels, class_names, columns, holdout
        As in `SpectraTable`.
    """

    intensity: NDArray[Any]
    axis: NDArray[np.float64] | None
    labels: NDArray[np.int64] | None = None
    class_names: tuple[str, ...] = ()
    columns: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    holdout: NDArray[np.int8] | None = None

    def keep(self, mask: NDArray[np.bool_]) -> Draft:
        """Only the spectra of `mask`."""
        return replace(
            self,
            intensity=self.intensity[mask],
            labels=None if self.labels is None else self.labels[mask],
            columns={name: values[mask] for name, values in self.columns.items()},
            holdout=None if self.holdout is None else self.holdout[mask],
        )


def finish(draft: Draft, path: Path, options: ImportOptions, sha256: str) -> tuple[SpectraTable, list[str]]:
    """Select, orient and check a draft.

    Returns
    -------
    tuple
        The table, and sentences about what was assumed, dropped or lost.

    Raises
    ------
    DatasetError
        When the draft cannot become a table, nothing is left, or points are not finite and `drop_nan` is off.
    """
    axis_notes, draft, axis = _settle_axis(draft, path, options)
    notes = [*axis_notes]
    for select in (_where, _drop_nan, _min_groups):
        draft, more = select(draft, options)
        notes += more
    if options.selects:
        draft, more = _drop_empty_classes(draft)
        notes += more
    if not len(draft.intensity):
        raise DatasetError(f"{path}: no spectra are left: {'; '.join(notes) or 'the file has none'}")
    intensity, more = storable(draft.intensity)
    notes += more + _missing(draft)
    unit = options.intensity_unit or ("counts" if intensity.dtype.kind == "u" else "a.u.")
    if not options.intensity_unit:
        notes.append(f"the file has no intensity unit: taken as {unit}")
    table = SpectraTable(
        intensity=intensity,
        axis=axis,
        labels=draft.labels,
        class_names=draft.class_names,
        columns=draft.columns,
        holdout=draft.holdout,
        group_by=_own_grouping(draft),
        intensity_unit=unit,
        title=options.title or path.stem,
        experiment_type=guess_quantity(path, options)[1],
        instrument=Instrument(laser_nm=options.laser_nm),
        provenance={"source_file": path.name, "sha256": sha256},
        processing=_processing(options),
    )
    return table, notes


def _settle_axis(draft: Draft, path: Path, options: ImportOptions) -> tuple[list[str], Draft, SpectralAxis]:
    n_points = draft.intensity.shape[1]
    quantity, _, notes = guess_quantity(path, options)
    if draft.axis is None:
        if options.crop is not None:
            raise DatasetError(f"{path}: no axis in the file, so there is nothing to crop along")
        return ["no axis in the file: points are numbered channels"], draft, SpectralAxis.channels(n_points)
    if quantity is None:
        raise DatasetError(
            f"{path}: what the axis ({draft.axis[0]:g} to {draft.axis[-1]:g}) measures is not in the file; "
            "say it with --quantity raman_shift, wavenumber, wavelength or channel"
        )
    if options.quantity is not None and not options.unit:
        notes.append(f"the file has no axis unit: taken as {UNITS[quantity][0]}")
    values, intensity = draft.axis, draft.intensity
    if values.size > 1 and values[0] > values[-1]:
        values, intensity = values[::-1], intensity[:, ::-1]
        notes.append("the axis was descending: points were reversed")
    if options.crop is not None:
        low, high = options.crop
        inside = (values >= low) & (values <= high)
        if inside.sum() < 2:
            raise DatasetError(
                f"{path}: crop {low:g} to {high:g} leaves {inside.sum()} points of {values[0]:g} to {values[-1]:g}"
            )
        notes.append(f"cropped to {low:g} - {high:g}: {int(inside.sum())} of {values.size} points")
        values, intensity = values[inside], intensity[:, inside]
    return notes, replace(draft, intensity=intensity), SpectralAxis(values, quantity, options.unit)


def _where(draft: Draft, options: ImportOptions) -> tuple[Draft, list[str]]:
    notes = []
    for condition in options.where:
        name, _, text = condition.partition("=")
        mask = _matches(_column(draft, name), text, condition)
        notes.append(f"{condition}: {int(mask.sum())} of {len(mask)} spectra kept")
        draft = draft.keep(mask)
    return draft, notes


def _column(draft: Draft, name: str) -> NDArray[Any]:
    if name == "label" and draft.labels is not None:
        return np.array([*draft.class_names, ""])[draft.labels]
    if name not in draft.columns:
        raise DatasetError(f"no column {name!r} to select by; columns: {', '.join(['label', *draft.columns])}")
    return draft.columns[name]


def _matches(column: NDArray[Any], text: str, condition: str) -> NDArray[np.bool_]:
    if column.dtype.kind == "U":
        return np.asarray(column == text)
    words = {"true": 1.0, "false": 0.0}
    try:
        number = words[text.lower()] if text.lower() in words else float(text)
    except ValueError:
        raise DatasetError(f"condition {condition!r}: the column holds numbers ({column.dtype})") from None
    return np.asarray(column.astype(np.float64) == number)


def _drop_nan(draft: Draft, options: ImportOptions) -> tuple[Draft, list[str]]:
    if draft.intensity.dtype.kind != "f":
        return draft, []
    good = np.isfinite(draft.intensity).all(axis=1)
    n_bad = int((~good).sum())
    if n_bad and not options.drop_nan:
        raise DatasetError(
            f"{n_bad} of {len(good)} spectra have NaN or infinite points; crop the axis to where all have values "
            "(--crop LOW HIGH) or leave them out (--drop-nan)"
        )
    return draft.keep(good), [f"{n_bad} of {len(good)} spectra dropped for NaN or infinite points"] if n_bad else []


def _min_groups(draft: Draft, options: ImportOptions) -> tuple[Draft, list[str]]:
    if not options.min_groups:
        return draft, []
    name = next((name for name in GROUP_COLUMNS if name in draft.columns), None)
    if name is None or draft.labels is None:
        raise DatasetError(f"--min-groups needs labels and a column {' or '.join(GROUP_COLUMNS)}")
    groups = np.unique(draft.columns[name], return_inverse=True)[1]
    pairs = np.unique(np.stack([draft.labels, groups]), axis=1)
    pairs = pairs[:, pairs[0] != UNLABELLED]
    counts = np.bincount(pairs[0], minlength=len(draft.class_names))
    mask = np.isin(draft.labels, np.flatnonzero(counts >= options.min_groups))
    kept = int((counts >= options.min_groups).sum())
    note = f"{kept} of {int((counts > 0).sum())} classes have at least {options.min_groups} groups ({name})"
    return draft.keep(mask), [f"{note}: {int(mask.sum())} of {len(mask)} spectra kept"]


def _drop_empty_classes(draft: Draft) -> tuple[Draft, list[str]]:
    if draft.labels is None:
        return draft, []
    used = np.unique(draft.labels[draft.labels != UNLABELLED])
    n_gone = len(draft.class_names) - len(used)
    if not n_gone:
        return draft, []
    labels = np.where(draft.labels == UNLABELLED, UNLABELLED, np.searchsorted(used, draft.labels))
    names = tuple(draft.class_names[index] for index in used)
    return replace(draft, labels=labels, class_names=names), [f"{n_gone} classes have no spectra left and are gone"]


def storable(intensity: NDArray[Any]) -> tuple[NDArray[Any], list[str]]:
    """Intensities as uint16, uint32 or float32, whichever holds them."""
    kind = intensity.dtype.kind
    if intensity.dtype in (np.uint16, np.uint32, np.float32):
        return np.ascontiguousarray(intensity, intensity.dtype.newbyteorder("=")), []
    if kind in "iu" and intensity.size and intensity.min() >= 0 and intensity.max() < 2**32:
        return np.ascontiguousarray(intensity, np.uint16 if intensity.max() < 2**16 else np.uint32), []
    with np.errstate(over="ignore"):
        narrow = np.ascontiguousarray(intensity, np.float32)
    if not np.isfinite(narrow).all():
        raise DatasetError("intensities are beyond the range of 32-bit floats (3.4e38); scale them first")
    return narrow, [f"intensities were {intensity.dtype}: stored as float32"]


def _missing(draft: Draft) -> list[str]:
    notes = []
    if draft.labels is None:
        notes.append("no labels in the file")
    elif (draft.labels == UNLABELLED).any():
        notes.append(f"{int((draft.labels == UNLABELLED).sum())} spectra are without label")
    if not any(name in draft.columns for name in GROUP_COLUMNS):
        notes.append("no groups in the file: spectra of one sample cannot be kept on one side of a split")
    if draft.holdout is None:
        notes.append("no split in the file: one is made when it is needed")
    return notes


def _own_grouping(draft: Draft) -> str:
    """Name the column by which the file's own split happens to be grouped."""
    if draft.holdout is None:
        return ""
    known = (name for name in GROUP_COLUMNS if name in draft.columns)
    return next((name for name in known if not leaking_groups(draft.columns[name], draft.holdout)), "")


def _processing(options: ImportOptions) -> tuple[ProcessStep, ...]:
    choices: dict[str, Any] = {}
    if options.crop is not None:
        choices["crop"] = list(options.crop)
    if options.drop_nan:
        choices["drop_nan"] = True
    if options.where:
        choices["where"] = list(options.where)
    if options.min_groups:
        choices["min_groups"] = options.min_groups
    return (ProcessStep("specnet import", specnet.__version__, json.dumps(choices)),) if choices else ()
