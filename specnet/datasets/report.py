"""What a file of spectra holds, and what is suspicious about it. Spectra are read in blocks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specnet.datasets.reading import SpectraFile
from specnet.datasets.splits import GROUP_COLUMNS, leaking_groups
from specnet.datasets.statistics import SpectraStatistics, collect_statistics
from specnet.datasets.table import Holdout

IMBALANCE = 10.0
"""Largest class over smallest from which it is worth a warning."""


@dataclass(frozen=True)
class ClassCounts:
    """Spectra of a class in all, and in each part of the split when there is one."""

    name: str
    n_spectra: int
    parts: dict[str, int]


@dataclass(frozen=True)
class SpectraReport:
    """Findings about a file.

    Parameters
    ----------
    title, experiment_type, intensity_unit
        As in the file.
    n_spectra, n_points
        Size.
    axis
        quantity, unit, first, last, step (median) and whether steps are uniform.
    intensity
        dtype, minimum and maximum.
    classes
        In the order of the class names.
    groups
        Number of distinct groups per grouping column.
    split_by
        Column the split is grouped by; empty when it is not grouped.
    columns
        Names of the per-spectrum columns.
    instrument, provenance
        What is known.
    warnings
        Sentences.
    """

    title: str
    experiment_type: str
    n_spectra: int
    n_points: int
    axis: dict[str, Any]
    intensity: dict[str, Any]
    intensity_unit: str
    classes: tuple[ClassCounts, ...]
    groups: dict[str, int]
    split_by: str
    columns: tuple[str, ...]
    instrument: dict[str, Any]
    provenance: dict[str, str]
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain form for JSON."""
        return asdict(self)


def report_spectra(
    file: SpectraFile, *, progress: Callable[[int], None] | None = None
) -> tuple[SpectraReport, SpectraStatistics]:
    """Look through a file.

    Parameters
    ----------
    file
        An open file.
    progress
        Told the number of spectra read since the last call.

    Returns
    -------
    tuple
        The report, and the statistics that it and the plot are made from.

    Raises
    ------
    DatasetError
        When the data is damaged.
    """
    statistics = collect_statistics(file, progress=progress)
    groups = {name: len(np.unique(file.columns[name])) for name in GROUP_COLUMNS if name in file.columns}
    report = SpectraReport(
        title=file.title,
        experiment_type=file.experiment_type,
        n_spectra=file.n_spectra,
        n_points=file.n_points,
        axis=_axis_facts(file),
        intensity={"dtype": str(file.dtype), "minimum": statistics.minimum, "maximum": statistics.maximum},
        intensity_unit=file.intensity_unit,
        classes=_class_counts(file),
        groups=groups,
        split_by=file.group_by,
        columns=tuple(file.columns),
        instrument={name: value for name, value in asdict(file.instrument).items() if value not in ("", None)},
        provenance=dict(file.provenance),
        warnings=tuple(_data_warnings(statistics) + _split_warnings(file, statistics) + _label_warnings(file)),
    )
    return report, statistics


def _axis_facts(file: SpectraFile) -> dict[str, Any]:
    values = file.axis.values
    steps = np.diff(values)
    return {
        "quantity": str(file.axis.quantity),
        "unit": file.axis.unit,
        "first": float(values[0]),
        "last": float(values[-1]),
        "step": float(np.median(steps)),
        "uniform": bool(np.ptp(steps) <= 1e-3 * np.median(steps)),
    }


def _class_counts(file: SpectraFile) -> tuple[ClassCounts, ...]:
    if file.labels is None:
        return ()
    counts = []
    for index, name in enumerate(file.class_names):
        chosen = file.labels == index
        parts = {} if file.holdout is None else _part_counts(file.holdout[chosen])
        counts.append(ClassCounts(name, int(chosen.sum()), parts))
    return tuple(counts)


def _part_counts(holdout: NDArray[np.int8]) -> dict[str, int]:
    return {part.name.lower(): int((holdout == part).sum()) for part in Holdout}


def _data_warnings(statistics: SpectraStatistics) -> list[str]:
    found = []
    if statistics.n_spectra == 0:
        found.append("the file has no spectra")
    if statistics.n_not_finite:
        found.append(f"{statistics.n_not_finite} spectra have NaN or infinite points: they cannot be used")
    if statistics.n_flat:
        found.append(f"{statistics.n_flat} spectra are constant: no light, or no answer from the detector")
    if statistics.n_saturated:
        found.append(
            f"{statistics.n_saturated} spectra look saturated: their highest value (up to {statistics.saturated_at:g}) "
            "repeats over neighbouring points"
        )
    return found


def _split_warnings(file: SpectraFile, statistics: SpectraStatistics) -> list[str]:
    found = []
    first = statistics.first_copy
    copies = np.flatnonzero(first != np.arange(len(first)))
    if len(copies):
        text = f"{len(copies)} spectra are exact copies of another one"
        if file.holdout is not None:
            across = int((file.holdout[copies] != file.holdout[first[copies]]).sum())
            text += f", {across} of them of one in another part of the split" if across else ""
        if file.labels is not None:
            conflicting = int((file.labels[copies] != file.labels[first[copies]]).sum())
            text += f", {conflicting} with another label" if conflicting else ""
        found.append(text)
    if file.holdout is None:
        return found
    for name in dict.fromkeys((file.group_by, *GROUP_COLUMNS)):
        # groups below the one that was kept apart may cross: sessions do when the split is by sample
        relevant = name and name in file.columns and name == (file.group_by or name)
        if relevant and (n_leaking := leaking_groups(file.columns[name], file.holdout)):
            found.append(f"{n_leaking} groups ({name}) are on both sides of the split: scores on it will be too good")
    absent = [part.name.lower() for part in Holdout if not (file.holdout == part).any()]
    if absent:
        found.append(f"the split has no {' and no '.join(absent)} part")
    return found


def _label_warnings(file: SpectraFile) -> list[str]:
    if file.labels is None:
        return ["no labels"]
    found = []
    counts = np.bincount(file.labels[file.labels >= 0], minlength=len(file.class_names))
    if n_unlabelled := int((file.labels < 0).sum()):
        found.append(f"{n_unlabelled} spectra have no label")
    if n_empty := int((counts == 0).sum()):
        found.append(f"{n_empty} of {len(counts)} classes have no spectra")
    present = counts[counts > 0]
    if len(present) and present.max() > IMBALANCE * present.min():
        found.append(f"classes are uneven: from {present.min()} to {present.max()} spectra; look at balanced accuracy")
    return found
