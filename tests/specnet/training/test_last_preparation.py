"""Trainings in one process on the same spectra prepare them once, and come out as if they had not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from specnet.training import TrainConfig, train
from specnet.training.data import file_sha256, split_file
from specnet.training.last_preparation import LastPreparation

pytestmark = pytest.mark.usefixtures("one_thread")
CONFIG = TrainConfig(preset="nano", epochs=1, augmentation="none", backbone="none")


def test_it_is_made_once_for_the_same_spectra_and_anew_for_others(small_file: Path) -> None:
    prepare, told, digest = LastPreparation(), [], file_sha256(small_file)

    def prepared(config: TrainConfig, name: str = digest) -> Any:
        return prepare(small_file, name, split_file(small_file, config.seed, config.fold), config, told.append)

    first, saved = prepared(CONFIG)
    assert saved == 0.0
    again, saved = prepared(replace(CONFIG, adaptivity="none", losses=("cross_entropy",)))
    assert again is first
    assert saved > 0.0
    assert told[-1].endswith("as in the training before")
    others = [replace(CONFIG, seed=1), replace(CONFIG, fold=1), replace(CONFIG, preprocessing="snv")]
    for config in others:
        other, saved = prepared(config)
        assert other is not first
        assert saved == 0.0
    assert prepared(CONFIG, "of another file")[1] == 0.0


def test_a_training_after_another_gives_the_same_numbers(small_file: Path, tmp_path: Path) -> None:
    runs = [train(small_file, tmp_path / str(index), CONFIG) for index in range(2)]
    first, second = (run.network.state_dict() for run in runs)
    assert all(np.array_equal(first[name].numpy(), second[name].numpy()) for name in first)
    assert runs[0].provenance["exit0_tried"] == runs[1].provenance["exit0_tried"]
