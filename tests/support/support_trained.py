"""What the tests of this folder share of a training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from specnet.training import Run, TrainConfig


@dataclass(frozen=True)
class Trained:
    """A run, the file it was trained on and the recipe."""

    run: Run
    data: Path
    config: TrainConfig
