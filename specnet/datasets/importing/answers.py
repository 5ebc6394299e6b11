"""Import spectra that gateways have answered: from their databases, from day files, from a recorded topic."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import msgspec

from specnet.datasets import layout
from specnet.datasets.answered import ORIGIN, PREDICTED, answered_table
from specnet.datasets.importing.draft import Draft, finish
from specnet.datasets.importing.labels import as_labels
from specnet.datasets.importing.npz import sha256_of
from specnet.datasets.importing.options import ImportOptions
from specnet.datasets.importing.postgresql import ResultDatabase
from specnet.datasets.reading import read_spectra
from specnet.datasets.table import SpectraTable
from specnet.errors import AxisError, CodecError, DatasetError
from specnet.wire.records import RecordId, ResultRecord, SpectrumSource

MAX_JSONL_BYTES = 2 << 30
MAX_LINE_BYTES = 4 << 20
DSN = ".dsn"
SUFFIXES = (".sqlite", DSN, ".jsonl", ".h5")

Labels = Literal["none", "predicted"]
_FLAGS = ("known", "audit")
_BY_AXIS = "axis_id"


def import_answers(
    path: Path | str, options: ImportOptions | None = None, *, labels: Labels = "none"
) -> tuple[SpectraTable, list[str]]:
    """Read raw spectra that gateways have answered; records without a raw spectrum are left out.

    Parameters
    ----------
    path
        An SQLite file of the sink ``sqlite``, a file with the connection string of the sink ``postgresql``, a day file
        of the sink ``hdf5``, or a file with one JSON document of the sink ``mqtt`` in each line.
    options
        What to keep. Where there are spectra on several axes, the condition ``axis_id=...`` chooses one.
    labels
        "none": the spectra come without labels. "predicted": the gateway's answers become the labels, where it took the
        spectrum for a known class; the provenance says so. They are a model's opinion and may be wrong.

    Returns
    -------
    tuple
        The table, and sentences about what was assumed, dropped or lost.

    Raises
    ------
    DatasetError
        When it is no such file, damaged, over the size limits, or has no raw spectra on one axis.
    """
    path, options = Path(path), options or ImportOptions()
    if not path.is_file():
        raise DatasetError(f"{path}: no such file")
    table, notes, options = _read(path, options)
    draft = Draft(intensity=table.intensity, axis=table.axis.values, columns=table.columns)
    if labels == "predicted":
        index, names = as_labels(table.columns[PREDICTED], table.n_spectra, None)
        draft = replace(draft, labels=index, class_names=names)
        notes.append("the labels are what gateways answered, not the truth: look at them before you train on them")
    else:
        notes.append(f"what gateways answered is in the column {PREDICTED}; --labels predicted makes labels of it")
    # a connection string says nothing of the data, and its hash might help to guess a password
    content = hashlib.sha256(table.intensity.tobytes()).hexdigest() if path.suffix.lower() == DSN else sha256_of(path)
    finished, more = finish(draft, path, _as_measured(options, table, path), content)
    stated = {"labels": f"predicted by models: {table.provenance['bundles']}"} if labels == "predicted" else {}
    return replace(finished, provenance={**table.provenance, **finished.provenance, **stated}), notes + more


def _read(path: Path, options: ImportOptions) -> tuple[SpectraTable, list[str], ImportOptions]:
    """Give the table, notes, and the options that are still to be followed."""
    if path.suffix.lower() == ".h5":
        table = read_spectra(path)
        if table.provenance.get("origin") != ORIGIN or PREDICTED not in table.columns:
            raise DatasetError(f"{path}: a file of spectra already, and not one of a gateway's day files")
        return table, [], options
    chosen = [condition.partition("=")[2] for condition in options.where if condition.startswith(f"{_BY_AXIS}=")]
    rest = tuple(condition for condition in options.where if not condition.startswith(f"{_BY_AXIS}="))
    read = {".sqlite": _from_sqlite, DSN: _from_postgresql}.get(path.suffix.lower(), _from_lines)
    records, notes = _unique(read(path), path)
    try:
        table = answered_table(_one_axis(records, chosen, path), path.stem)
    except (CodecError, AxisError) as error:
        raise DatasetError(f"{path}: {error}") from error
    return table, notes, replace(options, where=rest)


def _as_measured(options: ImportOptions, table: SpectraTable, path: Path) -> ImportOptions:
    """Options with what the file says of its axis; they must not say otherwise."""
    axis = table.axis
    if options.quantity not in (None, axis.quantity) or options.unit not in ("", axis.unit):
        raise DatasetError(
            f"{path}: the axis is {axis.quantity} in {axis.unit}, "
            f"not {options.quantity or axis.quantity} in {options.unit or axis.unit}"
        )
    unit = options.intensity_unit or table.intensity_unit
    return replace(options, quantity=axis.quantity, unit=axis.unit, intensity_unit=unit)


def _unique(records: Iterable[ResultRecord], path: Path) -> tuple[list[ResultRecord], list[str]]:
    """Give the records that can become training data, each once, and say what was left out."""
    kept: dict[RecordId, ResultRecord] = {}
    n_examples = size = 0
    for record in records:
        if not record.is_example or record.source is None:
            continue
        n_examples += 1
        if record.id not in kept:
            kept[record.id] = record
            size += 4 * len(record.source.values)
        if size > layout.MAX_TABLE_BYTES:
            raise DatasetError(f"{path}: over {layout.MAX_TABLE_BYTES} bytes of spectra, which is the limit")
    if not kept:
        raise DatasetError(
            f"{path}: no record has a raw spectrum and an answer; "
            "devices send raw spectra at split 0 with the codec raw"
        )
    notes = ["records without a raw spectrum or an answer were left out"]
    notes += [f"{n_examples - len(kept)} records were repeated, and taken once"] * (n_examples > len(kept))
    return list(kept.values()), notes


def _one_axis(records: Sequence[ResultRecord], chosen: Sequence[str], path: Path) -> list[ResultRecord]:
    sources: dict[str, SpectrumSource] = {record.source.id: record.source for record in records if record.source}
    wanted = [name for name in sources if all(name == choice for choice in chosen)]
    if len(wanted) != 1:
        described = "; ".join(
            f"{_BY_AXIS}={name}: {one.quantity} {one.values[0]:g} to {one.values[-1]:g} {one.unit}, "
            f"{len(one.values)} points, {sum(r.source is not None and r.source.id == name for r in records)} spectra"
            for name, one in list(sources.items())[:8]
        )
        raise DatasetError(f"{path}: spectra on {len(sources)} axes, choose one with --where: {described}")
    return [record for record in records if record.source is not None and record.source.id == wanted[0]]


def _from_sqlite(path: Path) -> Iterator[ResultRecord]:
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            # a gateway answers far more features than raw spectra: those are not even looked at
            results = connection.execute("SELECT * FROM results WHERE spectrum IS NOT NULL ORDER BY rowid")
            yield from _records(map(dict, connection.execute("SELECT * FROM sources")), map(dict, results))
    except (sqlite3.Error, msgspec.MsgspecError, KeyError, IndexError) as error:
        raise DatasetError(f"{path}: not a database of results, or a damaged one: {error}") from error


def _from_postgresql(path: Path) -> Iterator[ResultRecord]:
    database = ResultDatabase(path)
    try:
        yield from _records(database.sources(), database.results())
    except (msgspec.MsgspecError, KeyError) as error:
        raise DatasetError(f"{path}: not a database of results: {error}") from error


def _records(sources: Iterable[dict[str, Any]], results: Iterable[dict[str, Any]]) -> Iterator[ResultRecord]:
    """Make records of the rows of both tables of a sink."""
    known = {
        row["id"]: SpectrumSource(
            quantity=row["quantity"],
            unit=row["unit"],
            intensity_unit=row["intensity_unit"],
            values=msgspec.json.decode(row["axis_values"], type=tuple[float, ...]),
        )
        for row in sources
    }
    for row in results:
        yield _record(row, known)


def _record(row: dict[str, Any], sources: dict[str, SpectrumSource]) -> ResultRecord:
    known = {name: value for name, value in row.items() if name in ResultRecord.__struct_fields__}
    known |= {name: bool(row[name]) for name in _FLAGS}
    known |= {"spectrum": row["spectrum"] or b"", "source": None}
    record = msgspec.convert(known, ResultRecord)
    return record if row["source"] is None else msgspec.structs.replace(record, source=sources[row["source"]])


def _from_lines(path: Path) -> Iterator[ResultRecord]:
    if (size := path.stat().st_size) > MAX_JSONL_BYTES:
        raise DatasetError(f"{path}: {size} bytes, the limit is {MAX_JSONL_BYTES}")
    decoder = msgspec.json.Decoder(ResultRecord)
    with path.open("rb") as file:
        number = 0
        while line := file.readline(MAX_LINE_BYTES + 1):
            number += 1
            if len(line) > MAX_LINE_BYTES:
                raise DatasetError(f"{path}: line {number} is over {MAX_LINE_BYTES} bytes")
            if line.strip():
                try:
                    yield decoder.decode(line)
                except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                    raise DatasetError(f"{path}: line {number} is no result of a gateway: {error}") from error
