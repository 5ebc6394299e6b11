"""Running one cell, whatever its method, in this process and on one thread."""

from __future__ import annotations

import time
import traceback
from typing import Any

import torch
from threadpoolctl import threadpool_limits

from specnet.baselines import BASELINES, candidate_pipelines
from specnet.datasets import SpectraFile
from specnet.errors import SpecnetError
from specnet.evaluation.comparison.baseline_cell import baseline_result
from specnet.evaluation.comparison.cell import Cell, Task
from specnet.evaluation.comparison.network_cell import network_result
from specnet.training import find_recipe


def identity(task: Task) -> dict[str, Any]:
    """Recipe and data of a task, which a cell must agree with to be used again."""
    if task.method not in BASELINES:
        recipe = find_recipe(task.method)
        judged = {name: getattr(recipe, name) for name in ("static", "linear_exit", "score", "combiner")}
        return {"recipe": {**recipe.config(task.config).to_dict(), **judged}, "data_sha256": task.data_sha256}
    with SpectraFile(task.data) as file:
        pipelines = {name: pipeline.to_list() for name, pipeline in candidate_pipelines(file.axis).items()}
    return {"pipelines": pipelines, "refit": task.refit, "data_sha256": task.data_sha256}


def run_task(task: Task) -> Cell:
    """Run a task and write its cell; what goes wrong is written there too, so that the others go on."""
    begin = time.monotonic()
    torch.set_num_threads(1)
    place: dict[str, Any] = {"method": task.method, "seed": task.config.seed, "fold": task.config.fold, "identity": {}}
    try:
        with threadpool_limits(1):
            place["identity"] = identity(task)
            result = (baseline_result if task.method in BASELINES else network_result)(task)
        cell = Cell(**place, **result, seconds=round(time.monotonic() - begin, 1))
    except SpecnetError as error:
        cell = Cell(**place, error=str(error))
    except Exception as error:  # anything a library raises fails this cell only
        where = traceback.format_exc(limit=-3)
        cell = Cell(**place, error=f"{type(error).__name__}: {error}", detail={"traceback": where})
    cell.write(task.path)
    return cell
