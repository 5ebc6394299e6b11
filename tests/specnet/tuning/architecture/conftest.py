"""A hard little file of spectra, read once for all searches of this folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support_search import SPACE, read

from specnet.datasets import write_spectra
from specnet.datasets.simulation import PRESETS, simulate
from specnet.tuning.architecture.judging import Task
from specnet.tuning.architecture.searches import Place
from specnet.tuning.architecture.space import SearchSpace


@pytest.fixture(scope="session")
def hard_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """144 spectra of 6 procedural substances on 150 points, which exit 0 does not tell apart."""
    table = simulate(replace(PRESETS["hard"], n_classes=6, n_points=150, spectra_per_class=24))
    return write_spectra(tmp_path_factory.mktemp("search") / "hard.h5", table)


@pytest.fixture(scope="session")
def task(one_thread: None, hard_file: Path) -> Task:
    return read(hard_file)


@pytest.fixture(scope="session")
def space() -> SearchSpace:
    return SPACE


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)
