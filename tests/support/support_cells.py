"""Cells of a comparison, made up or run in child processes that misbehave."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from specnet.evaluation.comparison import Cell, Task
from specnet.training import TrainConfig


def make_task(method: str, out: Path, seed: int = 0, fold: int | None = None) -> Task:
    """A task on data that nobody reads."""
    config = TrainConfig(preset="nano", seed=seed, fold=fold)
    return Task(method, Path("none.h5"), out, config, refit=False, data_sha256="0" * 64)


def make_cell(
    method: str, accuracy: float, seed: int = 0, fold: int | None = None, kind: str = "linear", **more: object
) -> Cell:
    """A finished cell; a network's has its operating point first."""
    variants = ["operating point", "last exit"] if kind == "network" else [""]
    rows = [
        {"variant": variant, "accuracy": accuracy - i / 10, "balanced_accuracy": accuracy, "macs": 100, "us": 10.0}
        for i, variant in enumerate(variants)
    ]
    return Cell(method, seed, fold, identity={}, kind=kind, runtime="ONNX Runtime", rows=rows, **more)  # type: ignore[arg-type]


def run_or_die(task: Task) -> Cell:
    """Die without a word when the method is called so, otherwise say which process ran the task."""
    if task.method == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    cell = Cell(task.method, task.config.seed, task.config.fold, identity={}, detail={"pid": os.getpid()})
    cell.write(task.path)
    return cell
