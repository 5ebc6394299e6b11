"""A search with a supernet that takes a second, and a process that runs it and waits at a given report."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

from specnet.training import TrainConfig, use_threads
from specnet.tuning.architecture.evolution import Breeding
from specnet.tuning.architecture.judging import CostLimit, Task, read_task
from specnet.tuning.architecture.searches import Budget, Found, Place, Status
from specnet.tuning.architecture.space import SearchSpace
from specnet.tuning.architecture.supernet_search import search_supernet

SPACE = SearchSpace(
    stages=(1, 2, 3),
    widths=((4, 6), (6, 8), (6, 10)),
    units=(0, 1, 2),
    blocks=("depthwise", "plain", "ghost"),
    stem_channels=(4, 6),
    head_bins=(4, 8),
    head_channels=(2, 4),
)
RECIPE = TrainConfig(preset="nano", preprocessing="snv", augmentation="light", additive=False, batch_size=16, seed=3)
BUDGET = Budget(trials=10, epochs=2)
BREEDING = Breeding(population=4, parents=3)
WAITING = "waiting"


def task_of(data: Path, limit: CostLimit | None = None) -> Task:
    """The task of the tests; a quarter of the labels that judge are wrong, so that no shape is perfect."""
    task = read_task(data, RECIPE, limit or CostLimit())
    labels = task.labels.copy()
    labels[::4] = (labels[::4] + 1) % len(task.classes)
    return replace(task, labels=labels)


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
    search(task_of(Path(sys.argv[1])), Path(sys.argv[2]), int(sys.argv[3]))
