"""The whole comparison: run what is missing, then summarise all that is there."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from specnet.errors import ConfigurationError
from specnet.evaluation.comparison.cell import Cell, Task, finished_cell
from specnet.evaluation.comparison.plan import Plan
from specnet.evaluation.comparison.rows import Row, mean_curves, summarise
from specnet.evaluation.comparison.running import identity, run_task
from specnet.evaluation.comparison.workers import run_tasks
from specnet.evaluation.comparison.worth import Worth, worth_of_depth
from specnet.training.data import file_sha256


@dataclass(frozen=True)
class Comparison:
    """What came out.

    Parameters
    ----------
    cells
        One for each method, seed and fold, in the order of the plan.
    reused
        Number of cells that were there before.
    rows
        The table.
    best_simple
        Name of the baseline that `Row.difference` refers to; empty when there is none.
    curves
        Mean accuracy of each network within budgets.
    worth
        What depth is worth; None without both a linear model and a network.
    """

    cells: list[Cell]
    reused: int
    rows: list[Row]
    best_simple: str
    curves: dict[str, list[dict[str, float]]]
    worth: Worth | None

    def to_dict(self) -> dict[str, Any]:
        """Plain form for JSON."""
        return {
            "rows": [{"label": row.label, **asdict(row)} for row in self.rows],
            "best_simple": self.best_simple,
            "worth": None if self.worth is None else asdict(self.worth),
            "curves": self.curves,
            "n_cells": len(self.cells),
            "reused": self.reused,
            "failed": sum(bool(cell.error) for cell in self.cells),
        }


def compare(
    plan: Plan,
    *,
    jobs: int = 1,
    begin: Callable[[int, int], None] = lambda total, reused: None,
    started: Callable[[Task], None] = lambda task: None,
    done: Callable[[Task, Cell], None] = lambda task, cell: None,
) -> Comparison:
    """Run the cells that are not there yet, and summarise all.

    Parameters
    ----------
    plan
        What to compare.
    jobs
        Cells that run at once, each in a child process on one thread.
    begin
        Called with the number of cells and how many of them were there before.
    started, done
        Called when a cell begins and ends.

    Raises
    ------
    ConfigurationError
        When `jobs` is less than one, or another process works in the same folder.
    DatasetError
        When the file cannot be read.
    """
    if jobs < 1:
        raise ConfigurationError(f"jobs is {jobs}, expected at least 1")
    tasks = list(plan.tasks(file_sha256(plan.data)))
    with _alone(plan.out):
        there = {task.name: cell for task in tasks if (cell := finished_cell(task, identity(task))) is not None}
        begin(len(tasks), len(there))
        cells = dict(there)

        def keep(task: Task, cell: Cell) -> None:
            cells[task.name] = cell
            done(task, cell)

        missing = [task for task in tasks if task.name not in there]
        run_tasks(missing, min(jobs, max(1, len(missing))), run_task, started=started, done=keep)
    ordered = [cells[task.name] for task in tasks]
    rows, best = summarise(ordered)
    return Comparison(ordered, len(there), rows, best, mean_curves(ordered), worth_of_depth(ordered))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other processes out of the folder; the lock goes with this process, however it ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError(f"another comparison is running in {folder}; choose another folder") from None
        yield
