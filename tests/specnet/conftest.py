"""A small data set and a run trained on it, made once for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from support_trained import Trained

    from specnet.training import TrainConfig

CLASSES = 6
POINTS = 300


@pytest.fixture(scope="session")
def one_thread() -> Iterator[None]:
    """Torch on one thread: these networks are so small that threads only wait for each other."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def spectra_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """240 simulated Raman spectra of 6 minerals on 300 points, with a split."""
    from specnet.datasets import write_spectra
    from specnet.datasets.simulation import PRESETS, simulate

    table = simulate(replace(PRESETS["easy"], n_classes=CLASSES, n_points=POINTS, spectra_per_class=40))
    return write_spectra(tmp_path_factory.mktemp("data") / "minerals.h5", table)


@pytest.fixture(scope="session")
def recipe() -> TrainConfig:
    """Four epochs of the smallest network: through all phases of the schedule in a second."""
    from specnet.training import TrainConfig

    return TrainConfig(
        preset="nano", preprocessing="snv", augmentation="light", additive=False, epochs=4, batch_size=16, seed=3
    )


@pytest.fixture(scope="session")
def trained(
    one_thread: None, spectra_file: Path, recipe: TrainConfig, tmp_path_factory: pytest.TempPathFactory
) -> Trained:
    """A calibrated run. Read it; tests that change files make a copy."""
    from support_trained import Trained

    from specnet.calibration import calibrate
    from specnet.datasets import Holdout
    from specnet.training import train

    run = train(spectra_file, tmp_path_factory.mktemp("runs") / "minerals", recipe)
    calibrate(run.cache(spectra_file, Holdout.CALIBRATION).logits).write(run.calibration_path)
    return Trained(run, spectra_file, recipe)


@pytest.fixture(scope="session")
def packed(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of the run."""
    from specnet.packing import pack

    path = tmp_path_factory.mktemp("bundles") / "minerals.specnet"
    pack(trained.run, trained.data, path, name="minerals")
    return path
