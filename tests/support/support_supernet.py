"""A search with a supernet that takes a second, and a process that runs it and waits at a given report."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from support_search import RECIPE, SPACE, read

from specnet.training import use_threads
from specnet.tuning.architecture.evolution import Breeding
from specnet.tuning.architecture.judging import Task
from specnet.tuning.architecture.searches import Budget, Found, Place, Status
from specnet.tuning.architecture.supernet_search import search_supernet

BUDGET = Budget(trials=10, epochs=2)
BREEDING = Breeding(population=4, parents=3)
WAITING = "waiting"


def search(task: Task, folder: Path, wait_at: int = 0) -> Found:
    """Search; at report `wait_at`, counted from 1, say so and wait for being killed."""
    reports = 0

    def report(status: Status) -> None:
        nonlocal reports
        reports += 1
        if reports == wait_at:
            sys.stdout.write(WAITING + "\n")
            sys.stdout.flush()
            time.sleep(600)

    return search_supernet(task, SPACE, BUDGET, place=Place(folder), report=report, breeding=BREEDING)


if __name__ == "__main__":
    use_threads(RECIPE.preset, 1)
    search(read(Path(sys.argv[1])), Path(sys.argv[2]), int(sys.argv[3]))
