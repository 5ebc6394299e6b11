"""Both halves of the demonstration in small: the model that is used again, and the replay over both brokers."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from support_broker import require
from support_demo import LIGHT_SIMULATION, LIGHT_TRAINING, check_files
from support_path import BUNDLE, make_recording

from specnet.datasets import SpectraTable, write_spectra
from specnet.demo import field
from specnet.demo.model import DemoModel, prepare
from specnet.errors import ModelError
from specnet.training import load_run

N = 150


def prepare_light(folder: Path, *, n: int = 20, seed: int = 0, fresh: bool = False) -> tuple[DemoModel, list[str]]:
    said: list[str] = []
    model = prepare(
        folder,
        n=n,
        seed=seed,
        fresh=fresh,
        stage=said.append,
        training=LIGHT_TRAINING,
        simulation=LIGHT_SIMULATION,
    )
    return model, said


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, DemoModel]:
    folder = tmp_path_factory.mktemp("demo")
    return folder, prepare_light(folder)[0]


def test_the_same_recipe_is_not_trained_twice(prepared: tuple[Path, DemoModel]) -> None:
    folder, first = prepared
    weights = (folder / "run" / "weights.safetensors").stat().st_mtime_ns
    again, said = prepare_light(folder)
    assert any("earlier demonstration" in text for text in said)
    assert (folder / "run" / "weights.safetensors").stat().st_mtime_ns == weights
    assert np.array_equal(again.held_out.intensity, first.held_out.intensity)
    check_files(folder)


def test_the_held_out_spectra_are_of_the_test_part_in_random_order(prepared: tuple[Path, DemoModel]) -> None:
    _, model = prepared
    assert model.held_out.holdout is not None
    assert set(model.held_out.holdout.tolist()) == {2}
    assert model.held_out.labels is not None
    assert np.any(np.diff(model.held_out.labels) < 0)


def test_more_spectra_than_the_test_part_has_are_refused(prepared: tuple[Path, DemoModel]) -> None:
    with pytest.raises(ModelError, match=r"100000 spectra were asked for, the test part has \d+"):
        prepare_light(prepared[0], n=100_000)


def test_another_seed_and_a_damaged_run_are_trained_anew(prepared: tuple[Path, DemoModel], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(prepared[0], tmp_path / "copy"))
    _, said = prepare_light(folder, seed=1)
    assert any("simulating" in text for text in said)
    assert load_run(folder / "run").config.seed == 1
    (folder / "run" / "run.json").write_text("{")
    _, said = prepare_light(folder, seed=1)
    assert any("simulating" in text for text in said)
    assert load_run(folder / "run").config.seed == 1


@pytest.mark.parametrize("kind", ["mosquitto", "amqtt"])
def test_the_replay_answers_every_spectrum_once(
    prepared: tuple[Path, DemoModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    require(kind)
    if kind == "amqtt":
        monkeypatch.setattr(field, "mosquitto_path", lambda: None)
    recording = make_recording(N)
    model = DemoModel(
        run=prepared[1].run,
        data=prepared[1].data,
        bundle=BUNDLE,
        replay=tmp_path / "replay.h5",
        held_out=SpectraTable(
            intensity=recording.spectra,
            axis=recording.bundle.source_axis,
            labels=recording.predicted,
            class_names=recording.bundle.manifest.classes,
        ),
    )
    write_spectra(model.replay, model.held_out)
    said: list[str] = []
    tally = field.replay(model, tmp_path, said.append)
    assert kind in said[0]
    summary = tally.summary()
    assert (summary["n"], summary["lost"], summary["duplicates"], summary["rejected"]) == (N, 0, 0, 0)
    assert summary["local_share"] == pytest.approx(1 - len(recording.uncertain) / N)
    assert summary["accuracy"] >= 0.97, "labels are the predictor's own answers"
    uncertain = set(recording.uncertain)
    labels = [recording.finished(i) if i in uncertain else recording.local[i].label for i in range(N)]
    # a batch of another size may turn one tie
    assert summary["accuracy"] == pytest.approx(np.mean(labels == recording.predicted), abs=1.01 / N)
    assert 0 < summary["bytes_per_offload"] < 4 * recording.spectra.shape[1]
    assert not (tmp_path / "spectrometer").is_symlink(), "the board takes its link with it"
    check_files(tmp_path)
