"""What a search leaves behind: the best shape, a table of all, and a picture."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from specnet.files import write_bytes
from specnet.tuning.architecture.judging import Task
from specnet.tuning.architecture.picture import draw_search
from specnet.tuning.architecture.searches import Candidate, Found
from specnet.tuning.architecture.space import write_architecture

ARCHITECTURE, TABLE, PICTURE = "architecture.json", "trials.csv", "search.png"
COLUMNS = (
    "number",
    "state",
    "nats",
    "accuracy",
    "macs",
    "us",
    "epochs",
    "seconds",
    "widths",
    "units",
    "block",
    "stem_channels",
    "head_bins",
    "head_channels",
)


def write_results(folder: Path, task: Task, found: Found, *, search: str, us: float) -> Candidate:
    """Write ``architecture.json``, ``trials.csv`` and ``search.png``; returns the best shape.

    Parameters
    ----------
    folder
        Of the results.
    task, found
        What was searched for and found.
    search
        Name of the search.
    us
        Microseconds of the best shape.

    Raises
    ------
    ModelError
        When no shape was trained to the end.
    """
    best = found.best
    write_architecture(folder / ARCHITECTURE, best.architecture, about(task, found, search=search, us=us))
    write_bytes(folder / TABLE, _table(found).encode())
    draw_search(found, task.limit, folder / PICTURE)
    return best


def about(task: Task, found: Found, *, search: str, us: float) -> dict[str, Any]:
    """Tell how the best shape was found, as plain values."""
    best = found.best
    return {
        "search": search,
        "trials": len(found.candidates),
        "pruned": len(found.candidates) - len([one for one in found.candidates if one.state == "complete"]),
        "over_limit": found.infeasible,
        "nats": best.nats,
        "accuracy": best.accuracy,
        "macs": best.macs,
        "us": round(us, 1),
        "epochs": best.epochs,
        "seconds": round(found.seconds, 2),
        "seed": task.config.seed,
        "fold": task.config.fold,
        "data_sha256": task.data_sha256,
        "preprocessing": task.preprocessing,
        "limit": {"macs": task.limit.macs, "us": task.limit.us},
    }


def plain(candidate: Candidate) -> dict[str, Any]:
    """One shape as plain values, named as in the table."""
    shape = candidate.architecture.to_dict()
    return {name: shape[name] if name in shape else getattr(candidate, name) for name in COLUMNS}


def _table(found: Found) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for candidate in found.candidates:
        cells = plain(candidate)
        for name in ("widths", "units"):
            cells[name] = " ".join(str(number) for number in cells[name])
        writer.writerow(cells)
    return text.getvalue()
