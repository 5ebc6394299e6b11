"""Import text tables: one spectrum a row under the axis, or one spectrum a column beside the axis."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from specnet.datasets.importing.draft import Draft, finish
from specnet.datasets.importing.labels import as_labels
from specnet.datasets.importing.npz import COLUMN_NAMES, sha256_of
from specnet.datasets.importing.options import ImportOptions
from specnet.datasets.table import Holdout, SpectraTable
from specnet.errors import DatasetError
from specnet.spectra import MAX_POINTS

MAX_CSV_BYTES = 512 * 2**20
DELIMITERS = "\t;,"
LABEL_NAMES = ("label", "class", "y")
SPLIT_NAMES = ("split", "holdout")

Layout = Literal["auto", "rows", "columns"]
Rows = list[list[str]]


def import_csv(
    path: Path | str, options: ImportOptions | None = None, *, layout: Layout = "auto"
) -> tuple[SpectraTable, list[str]]:
    """Read a text table separated by comma, semicolon or tab; semicolon and tab allow decimal commas.

    Parameters
    ----------
    path
        UTF-8 text.
    options
        What the file does not say, and what to keep of it.
    layout
        "rows": the header row holds the axis, each further row is a spectrum; header cells that are no numbers name
        columns (``label``, ``sample_id``, ``split``, ...). "columns": the first column holds the axis, each further
        column is a spectrum, whose name in the header row, if there is one, becomes the column ``name``.
        "auto" decides by where the axis is.

    Returns
    -------
    tuple
        The table, and sentences about what was assumed, dropped or lost.

    Raises
    ------
    DatasetError
        When rows are ragged, cells are no numbers, there is no axis, or the file is over the size limits.
    """
    path = Path(path)
    rows = _read_rows(path)
    notes: list[str] = []
    if layout == "auto":
        layout, notes = _find_layout(rows, path)
    draft = _from_rows(rows, path) if layout == "rows" else _from_columns(rows, path)
    table, more = finish(draft, path, options or ImportOptions(), sha256_of(path))
    return table, notes + more


def _read_rows(path: Path) -> Rows:
    if not path.is_file():
        raise DatasetError(f"{path}: no such file")
    if (size := path.stat().st_size) > MAX_CSV_BYTES:
        raise DatasetError(f"{path}: {size} bytes of text, the limit is {MAX_CSV_BYTES}")
    try:
        text = path.read_text("utf-8-sig")
        delimiter = _find_delimiter(text)
        rows = [
            [cell.strip() for cell in row] for row in csv.reader(io.StringIO(text), delimiter=delimiter) if any(row)
        ]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path}: no text table: {error}") from error
    if len(rows) < 2 or len(rows[0]) < 2:
        raise DatasetError(
            f"{path}: no table: {len(rows)} rows of {len(rows[0]) if rows else 0} cells, expected 2 x 2 or more"
        )
    for number, row in enumerate(rows, start=1):
        if len(row) != len(rows[0]):
            raise DatasetError(f"{path}: row {number} has {len(row)} cells, the first row has {len(rows[0])}")
    if delimiter != "," and any(re.fullmatch(r"[-+]?\d+,\d+([eE][-+]?\d+)?", cell) for cell in rows[-1]):
        rows = [[cell.replace(",", ".") if _is_decimal_comma(cell) else cell for cell in row] for row in rows]
    return rows


def _find_delimiter(text: str) -> str:
    first = text.lstrip().partition("\n")[0]
    return max(DELIMITERS, key=lambda mark: (first.count(mark) > 0, -DELIMITERS.index(mark)))


def _is_decimal_comma(cell: str) -> bool:
    return _number(cell.replace(",", ".", 1)) is not None


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _is_axis(cells: Sequence[str]) -> bool:
    numbers = [_number(cell) for cell in cells]
    values = np.array([number for number in numbers if number is not None])
    if len(values) < 2 or len(values) < len(numbers) or not np.isfinite(values).all():
        return False
    steps = np.diff(values)
    return bool((steps > 0).all() or (steps < 0).all())


def _find_layout(rows: Rows, path: Path) -> tuple[Layout, list[str]]:
    header = [cell for cell in rows[0] if _number(cell) is not None]
    first_column = [row[0] for row in rows]
    body = first_column if _number(first_column[0]) is not None else first_column[1:]
    along_rows, along_columns = _is_axis(header), _is_axis(body)
    if along_rows and along_columns:
        layout: Layout = "rows" if len(header) >= len(body) else "columns"
        return layout, [
            f"both the first row and the first column ascend: taken as one spectrum in each of the {layout}"
        ]
    if along_rows:
        return "rows", []
    if along_columns:
        return "columns", []
    raise DatasetError(
        f"{path}: no spectral axis: neither the numbers of the first row nor those of the first column "
        "ascend or descend throughout"
    )


def _from_rows(rows: Rows, path: Path) -> Draft:
    header, body = rows[0], rows[1:]
    points = [index for index, cell in enumerate(header) if _number(cell) is not None]
    if not 2 <= len(points) <= MAX_POINTS:
        raise DatasetError(f"{path}: the first row has {len(points)} axis values, expected 2 to {MAX_POINTS}")
    named = {
        cell.lower(): [row[index] for row in body] for index, cell in enumerate(header) if index not in set(points)
    }
    labels = next((named.pop(name) for name in LABEL_NAMES if name in named), None)
    split = next((named.pop(name) for name in SPLIT_NAMES if name in named), None)
    index, class_names = (None, ()) if labels is None else as_labels(np.array(labels, dtype=str), len(body), None)
    return Draft(
        intensity=_numbers([[row[point] for point in points] for row in body], path, first_row=2),
        axis=np.array([float(header[point]) for point in points]),
        labels=index,
        class_names=class_names,
        columns={COLUMN_NAMES.get(name, name): _as_column(cells) for name, cells in named.items() if name},
        holdout=None if split is None else _as_holdout(split, path),
    )


def _from_columns(rows: Rows, path: Path) -> Draft:
    has_header = any(_number(cell) is None for cell in rows[0])
    body = rows[1:] if has_header else rows
    table = _numbers(body, path, first_row=2 if has_header else 1)
    if not 2 <= len(table) <= MAX_POINTS:
        raise DatasetError(f"{path}: the first column has {len(table)} axis values, expected 2 to {MAX_POINTS}")
    columns = {"name": np.array(rows[0][1:], dtype=str)} if has_header else {}
    return Draft(intensity=np.ascontiguousarray(table[:, 1:].T), axis=table[:, 0].astype(np.float64), columns=columns)


def _numbers(cells: Rows, path: Path, first_row: int) -> NDArray[Any]:
    """Numbers of all cells, an empty cell is NaN; float64, or integers where all are whole."""
    try:
        values = np.array([[cell or "nan" for cell in row] for row in cells], dtype=str).astype(np.float64)
    except ValueError:
        for number, row in enumerate(cells, start=first_row):
            bad = next((cell for cell in row if cell and _number(cell) is None), None)
            if bad is not None:
                raise DatasetError(f"{path}: row {number} has {bad[:40]!r} where a number was expected") from None
        raise
    whole = np.isfinite(values).all() and (values == np.floor(values)).all() and values.size and values.min() >= 0
    return values.astype(np.int64) if whole and values.max() < 2**32 else values


def _as_column(cells: list[str]) -> NDArray[Any]:
    """Integers where all cells are whole numbers, floats where all are numbers, text otherwise."""
    if all(re.fullmatch(r"[-+]?\d{1,18}", cell) for cell in cells):
        return np.array([int(cell) for cell in cells], np.int64)
    numbers = [_number(cell) for cell in cells]
    known = [number for number in numbers if number is not None]
    return np.array(known if len(known) == len(cells) else cells)


def _as_holdout(cells: list[str], path: Path) -> NDArray[np.int8]:
    names = {part.name.lower(): part for part in Holdout} | {str(int(part)): part for part in Holdout}
    unknown = sorted({cell for cell in cells if cell.lower() not in names})
    if unknown:
        raise DatasetError(f"{path}: split {unknown[:5]}, expected train, calibration, test or 0, 1, 2")
    return np.array([names[cell.lower()] for cell in cells], np.int8)
