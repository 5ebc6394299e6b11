"""The table of a comparison as JSON and CSV."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from specnet.evaluation.comparison.compare import Comparison
from specnet.evaluation.comparison.rows import MEASURES
from specnet.files import write_bytes, write_json

SPREADS = (*MEASURES, "difference")


def write_tables(comparison: Comparison, folder: Path, document: dict[str, Any]) -> tuple[Path, Path]:
    """Write ``accuracy.json`` (with `document` around it) and ``accuracy.csv``, one line a row."""
    path = write_json(folder / "accuracy.json", document)
    text = io.StringIO()
    columns = [f"{name}_{part}" for name in SPREADS for part in ("mean", "sd", "se")]
    head = ["method", "variant", "kind", "runtime", "n", *columns, "preprocessing", "errors"]
    writer = csv.DictWriter(text, head, lineterminator="\n")
    writer.writeheader()
    for row in comparison.rows:
        line: dict[str, Any] = {"n": 0 if row.accuracy is None else row.accuracy.n}
        for name in SPREADS:
            spread = getattr(row, name)
            if spread is not None:
                line |= {f"{name}_{part}": getattr(spread, part) for part in ("mean", "sd", "se")}
        line |= {key: getattr(row, key) for key in ("method", "variant", "kind", "runtime")}
        line |= {"preprocessing": " ".join(row.preprocessing), "errors": "; ".join(row.errors)}
        writer.writerow(line)
    return path, write_bytes(folder / "accuracy.csv", text.getvalue().encode())
