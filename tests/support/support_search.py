"""Searches for a shape, small enough to be run many times."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from specnet.training import TrainConfig
from specnet.tuning.architecture.judging import CostLimit, Task, read_task
from specnet.tuning.architecture.searches import Budget, Candidate, Found, Place
from specnet.tuning.architecture.space import SearchSpace

SPACE = SearchSpace(
    stages=(2, 3),
    widths=((4, 8), (4, 8), (8, 12)),
    units=(0, 1, 2),
    blocks=("depthwise", "ghost"),
    stem_channels=(4, 8),
    head_bins=(4, 8),
    head_channels=(4, 8),
)
RECIPE = TrainConfig(preset="nano", preprocessing="snv", batch_size=28, seed=5)
EPOCHS = 4


def read(data: Path, limit: CostLimit | None = None, **changes: Any) -> Task:
    """The task of a file with the small recipe."""
    return read_task(data, replace(RECIPE, **changes), limit or CostLimit())


def search(task: Task, space: SearchSpace, place: Place, name: str = "tpe", **budget: Any) -> Found:
    """A search by Optuna, trials of a few epochs."""
    from specnet.tuning.architecture.trials import search_trials

    return search_trials(name, task, space, Budget(**{"epochs": EPOCHS, **budget}), place=place)


def without_seconds(candidates: tuple[Candidate, ...]) -> list[Candidate]:
    """What does not depend on the machine's load."""
    return [replace(candidate, seconds=0.0) for candidate in candidates]


def write_space(path: Path, space: SearchSpace = SPACE) -> Path:
    """A space as a user writes it down."""
    path.write_text(json.dumps(space.to_dict()))
    return path
