"""Classes are left out of a training, and the network is shown what it never saw."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from specnet.cli import main
from specnet.datasets import SpectraTable, read_spectra, write_spectra
from specnet.datasets.simulation import PRESETS, simulate
from specnet.errors import ConfigurationError, DatasetError
from specnet.evaluation.held_out_classes import FALSE_ALARMS, choose_classes, hold_out, rejection_of_held_out
from specnet.training import TrainConfig

pytestmark = pytest.mark.usefixtures("one_thread")
CLASSES = 8


def minerals() -> SpectraTable:
    return simulate(replace(PRESETS["easy"], n_classes=CLASSES, n_points=200, spectra_per_class=24))


def test_classes_are_drawn_by_seed_and_some_stay() -> None:
    drawn = [choose_classes(20, 0.25, seed).tolist() for seed in range(5)]
    assert all(len(set(classes)) == 5 and classes == sorted(classes) for classes in drawn)
    assert len({tuple(classes) for classes in drawn}) > 1
    assert len(choose_classes(3, 0.99, 0)) == 1
    assert len(choose_classes(10, 0.001, 0)) == 1


@pytest.mark.parametrize(("n", "share", "message"), [(2, 0.5, "at least 3"), (9, 0.0, "is 0.0"), (9, 1.0, "is 1.0")])
def test_shares_that_leave_nothing_are_refused(n: int, share: float, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        choose_classes(n, share, 0)


def test_a_table_is_divided_by_class() -> None:
    table = minerals()
    parts = hold_out(table, np.array([0, 5]))
    assert table.labels is not None
    assert parts.known.labels is not None
    assert parts.known.class_names == tuple(table.class_names[k] for k in (1, 2, 3, 4, 6, 7))
    assert parts.known.n_spectra + parts.unknown.n_spectra == table.n_spectra
    before = [table.class_names[k] for k in table.labels if k not in (0, 5)]
    assert [parts.known.class_names[k] for k in parts.known.labels] == before
    assert set(np.unique(parts.unknown.labels)) == {0, 5}


def test_spectra_without_a_class_are_on_neither_side() -> None:
    table = minerals()
    assert table.labels is not None
    labels = table.labels.copy()
    labels[:7] = -1
    parts = hold_out(replace(table, labels=labels), np.array([1]))
    assert parts.known.n_spectra + parts.unknown.n_spectra == table.n_spectra - 7
    with pytest.raises(DatasetError, match="no labels"):
        hold_out(replace(table, labels=None), np.array([1]))


def test_unknown_minerals_are_noticed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Trains for real; AUROC of 0.5 is what a rule that says nothing would have."""
    data, out = write_spectra(tmp_path / "minerals.h5", minerals()), tmp_path / "out"
    words = ["bench", "rejection", str(data), "--out", str(out), "--seeds", "0,1", "--preset", "nano"]
    words += ["--epochs", "6", "--augmentation", "light", "--false-alarm", "0.1", "--share", "0.25", "--json"]
    assert main(words) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["summary"]["auroc_energy"]["mean"] > 0.85
    assert document["summary"]["auroc_improbability"]["mean"] > 0.5
    assert document["summary"]["accuracy"]["mean"] > 0.7
    assert all(len(run["left_out"]) == 2 for run in document["runs"])
    for run in document["runs"]:
        assert all(len(curve) == len(FALSE_ALARMS) and curve[-1] >= curve[0] for curve in run["roc"].values())
        assert np.mean(run["roc"]["improbability"]) == pytest.approx(run["auroc"]["improbability"], abs=0.03)
    assert (out / "rejection.png").stat().st_size > 5000
    with (out / "rejection.csv").open() as file:
        assert {row["measure"] for row in csv.DictReader(file)} >= {"auroc_energy", "detection", "false_alarm"}
    (known,) = (out / "seed0").glob("known-*.h5")
    assert len(read_spectra(known).class_names) == CLASSES - 2  # the network has never seen the others
    (weights,) = (out / "seed0").glob("run-*/weights.safetensors")
    trained = weights.stat().st_mtime_ns
    assert main(words) == 0  # goes on with what is there
    assert weights.stat().st_mtime_ns == trained
    assert json.loads(capsys.readouterr().out)["summary"] == document["summary"]


def test_other_data_or_another_share_find_no_old_run(tmp_path: Path) -> None:
    """The folder of results is the same; a run of other data or classes must not be taken for this one."""
    data, config = tmp_path / "minerals.h5", TrainConfig(preset="nano", epochs=1, augmentation="none")
    options: dict[str, Any] = {"false_alarm": 0.1, "score": "energy"}
    write_spectra(data, minerals())
    few = rejection_of_held_out(data, tmp_path / "out", config, share=0.25, **options)
    many = rejection_of_held_out(data, tmp_path / "out", config, share=0.5, **options)
    assert (len(few["left_out"]), len(many["left_out"])) == (2, 4)
    write_spectra(data, minerals().select(np.arange(0, 192, 2)))
    half = rejection_of_held_out(data, tmp_path / "out", config, share=0.25, **options)
    assert half["n_unknown"] < few["n_unknown"]  # not the spectra of the first file
    assert len(list((tmp_path / "out").glob("run-*/run.json"))) == 3


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--seeds", "0,x"), "got '0,x'"),
        (("--seeds", "1,1"), "each number once"),
        (("--seeds", ""), "got ''"),
        (("--false-alarm", "1.5"), "--false-alarm is 1.5"),
        (("--reject-score", "mood"), "invalid choice: 'mood'"),
    ],
)
def test_options_are_refused_before_anything_is_trained(
    option: tuple[str, str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_spectra(tmp_path / "minerals.h5", minerals())
    try:
        code = main(["bench", "rejection", str(data), "--out", str(tmp_path / "out"), *option])
    except SystemExit as stopped:  # argparse's own
        code = int(str(stopped.code))
    assert code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
