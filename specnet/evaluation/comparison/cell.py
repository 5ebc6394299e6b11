"""One method with one seed on one fold: what shall be run, and the file that its result is in."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from specnet.errors import DatasetError
from specnet.files import read_bounded, write_json
from specnet.training import TrainConfig

CELL_FORMAT = 1
MAX_CELL_BYTES = 16 << 20


@dataclass(frozen=True)
class Task:
    """What a cell is to run.

    Parameters
    ----------
    method
        Name of a baseline or of a network recipe.
    data
        File of spectra.
    out
        Folder of the comparison.
    config
        Training configuration with seed and fold; baselines use only these two.
    refit
        Whether a baseline is fitted again on training and calibration part.
    data_sha256
        Hash of the file.
    """

    method: str
    data: Path
    out: Path
    config: TrainConfig
    refit: bool
    data_sha256: str

    @property
    def name(self) -> str:
        """Name of the cell, which is that of its file."""
        fold = "" if self.config.fold is None else f"-fold{self.config.fold}"
        return f"{self.method}-seed{self.config.seed}{fold}"

    @property
    def path(self) -> Path:
        """Where the result is written."""
        return self.out / "cells" / f"{self.name}.json"


@dataclass(frozen=True)
class Cell:
    """The result of a task.

    Parameters
    ----------
    method, seed, fold
        Which cell it is.
    identity
        Recipe and hash of the data; a cell is used again only when they agree.
    kind
        ``"linear"``, ``"baseline"`` or ``"network"``.
    runtime
        What ran the single predictions that were timed.
    rows
        One entry for each way of using the fitted method: ``variant``, ``accuracy``, ``balanced_accuracy``, ``macs``,
        ``us``.
    curve
        Best accuracy within budgets: ``share`` of the full network, ``accuracy``, ``macs``, ``us``.
    detail
        Whatever else is worth keeping.
    error
        Why there is no result; empty when there is one.
    seconds
        How long it took.
    """

    method: str
    seed: int
    fold: int | None
    identity: dict[str, Any]
    kind: str = ""
    runtime: str = ""
    rows: list[dict[str, Any]] = field(default_factory=list)
    curve: list[dict[str, float]] = field(default_factory=list)
    detail: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    seconds: float = 0.0

    def write(self, path: Path) -> None:
        """Write the cell atomically."""
        write_json(path, {"format": CELL_FORMAT, **asdict(self)})

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a cell.

        Raises
        ------
        DatasetError
            When the file is no cell of this format.
        """
        try:
            plain = json.loads(read_bounded(path, MAX_CELL_BYTES, "cell", DatasetError))
            if plain.pop("format") != CELL_FORMAT:
                raise DatasetError(f"{path} is of another format than {CELL_FORMAT}")
            return cls(**plain)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DatasetError(f"{path} is no cell of a comparison: {type(error).__name__} {error}") from error


def finished_cell(task: Task, identity: dict[str, Any]) -> Cell | None:
    """Find the result of a task that was run before with the same recipe on the same data; failures are run again."""
    try:
        cell = Cell.read(task.path)
    except DatasetError:
        return None
    # through JSON, which knows no tuples
    same = cell.identity == json.loads(json.dumps(identity))
    return cell if same and not cell.error else None
