"""A run of a recipe on a file that is trained once: found again when finished, continued when interrupted."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from specnet.training.config import TrainConfig
from specnet.training.data import file_sha256
from specnet.training.run import Run, is_finished, load_run
from specnet.training.train import train


def trained_once(
    data: Path,
    parent: Path,
    name: str,
    config: TrainConfig,
    *,
    data_sha256: str | None = None,
    stage: Callable[[str], None] = lambda text: None,
) -> Run:
    """Load the finished run of this recipe on these data, or train it, going on where an interrupted training was.

    Parameters
    ----------
    data
        HDF5 file with labels.
    parent
        Folder of the run's folder, which is called `name` with eight digits of a hash of recipe and data: another
        recipe, or data that have changed, never find this run.
    name
        For people.
    config
        The recipe.
    data_sha256
        Of the file, when it is known already.
    stage
        Called with a sentence when something longer begins or a choice was made.

    Raises
    ------
    DatasetError, ModelError, ConfigurationError
        When data, recipe or what is in the folder do not fit.
    """
    identity = json.dumps([config.to_dict(), data_sha256 or file_sha256(data)], sort_keys=True).encode()
    folder = parent / f"{name}-{hashlib.sha256(identity).hexdigest()[:8]}"
    return load_run(folder) if is_finished(folder) else train(data, folder, config, resume=True, stage=stage)
