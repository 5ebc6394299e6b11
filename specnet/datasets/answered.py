"""Spectra that a gateway has answered, as a table: what it said is a column, not a label."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specnet.datasets.importing.draft import storable
from specnet.datasets.table import SpectraTable
from specnet.errors import DatasetError
from specnet.wire.records import ResultRecord

PREDICTED = "predicted_label"
"""Column with the name of the class that the gateway answered; empty where the spectrum looked like no known class."""
ORIGIN = "answers of a gateway"
"""`provenance/origin` of such a table."""

_COLUMNS: dict[str, tuple[Callable[[ResultRecord], Any], type]] = {
    "session_id": (lambda record: f"{record.site}/{record.device}/{record.boot}", str),
    "instrument_id": (lambda record: f"{record.site}/{record.device}", str),
    "answered_at": (lambda record: record.time, str),
    "boot": (lambda record: record.boot, np.int64),
    "sequence": (lambda record: record.sequence, np.int64),
    "checksum": (lambda record: record.checksum, np.int64),
    "bundle": (lambda record: record.bundle, str),
    "bundle_name": (lambda record: record.bundle_name, str),
    "bundle_version": (lambda record: record.bundle_version, np.int64),
    PREDICTED: (lambda record: record.class_name if record.known else "", str),
    "predicted_nearest": (lambda record: record.class_name, str),
    "predicted_probability": (lambda record: _number(record.probability), np.float64),
    "predicted_exit": (lambda record: -1 if record.exit_index is None else record.exit_index, np.int64),
    "known": (lambda record: record.known, np.bool_),
    "audit": (lambda record: record.audit, np.bool_),
    "provisional_label": (lambda record: record.provisional_class_name, str),
    "provisional_probability": (lambda record: _number(record.provisional_probability), np.float64),
}


def answered_table(records: Sequence[ResultRecord], title: str) -> SpectraTable:
    """Make a table of records with raw spectra on one axis.

    It has no labels: an answer is no truth. `PREDICTED` and its neighbours hold what was answered, and how surely.

    Parameters
    ----------
    records
        At least one; all of one `SpectrumSource`.
    title
        Of the table.

    Raises
    ------
    DatasetError
        When there are none, or they are of several axes; `CodecError` when a spectrum is damaged.
    """
    if not records:
        raise DatasetError("no records with raw spectra, expected at least one")
    source = records[0].source
    if source is None or any(record.source is None or record.source.id != source.id for record in records):
        raise DatasetError("records of one axis become a table, got some without spectrum or of another axis")
    intensity, _ = storable(np.stack([record.intensity() for record in records]))
    return SpectraTable(
        intensity=intensity,
        axis=source.axis,
        columns={name: _column(records, value, kind) for name, (value, kind) in _COLUMNS.items()},
        intensity_unit=source.intensity_unit,
        title=title,
        provenance={
            "origin": ORIGIN,
            "labels": f"none; the column {PREDICTED} is what a model answered",
            "bundles": " ".join(sorted({record.bundle for record in records})),
            "gateways": " ".join(sorted({record.gateway for record in records})),
        },
    )


def _column(records: Sequence[ResultRecord], value: Callable[[ResultRecord], Any], kind: type) -> NDArray[Any]:
    return np.array([value(record) for record in records], dtype=kind)


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
