"""The whole path through the command line: simulate, train, calibrate, evaluate, export, predict, inspect, bench."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support_cli import Called, call

from specnet.bundle import read_bundle
from specnet.calibration import read_calibration
from specnet.datasets import Holdout, read_spectra
from specnet.exits import route
from specnet.runtime import Predictor, load_bundle
from specnet.training import load_run

pytestmark = pytest.mark.usefixtures("one_thread")


@dataclass(frozen=True)
class Journey:
    """Files of the path and what its commands said."""

    data: Path
    run: Path
    bundle: Path
    said: dict[str, Called]

    def document(self, command: str) -> dict[str, Any]:
        return self.said[command].document


@pytest.fixture(scope="module")
def path(one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> Journey:
    folder = tmp_path_factory.mktemp("path")
    data, run, bundle = folder / "minerals.h5", folder / "runs" / "minerals", folder / "minerals.specnet"
    simulate = ("simulate", data, "--preset", "easy", "--classes", 5, "--points", 300, "--spectra-per-class", 40)
    train = ("train", data, "--out", run, "--preset", "nano", "--epochs", 2, "--batch-size", 16, "--seed", 5)
    commands = {
        "simulate": simulate,
        "train": (*train, "--threads", 1),
        "calibrate": ("calibrate", run, data, "--budget", "0.6"),
        "evaluate": ("evaluate", run, data),
        "export": ("export", run, data, "--out", bundle, "--version", 3),
        "predict": ("predict", bundle, data, "--part", "test"),
        "inspect": ("inspect", bundle),
        "inspect spectra": ("inspect", data),
        "bench": ("bench", "segments", bundle, "--repeats", 5),
    }
    said = {}
    for name, words in commands.items():
        said[name] = call(*words, "--json")
        assert said[name].code == 0, said[name].err
    return Journey(data, run, bundle, said)


def test_every_command_prints_exactly_one_document(path: Journey) -> None:
    for name in path.said:
        assert path.document(name), name


def test_simulate_says_what_it_wrote(path: Journey) -> None:
    document = path.document("simulate")
    assert (document["n_spectra"], document["n_points"], len(document["classes"])) == (200, 300, 5)
    assert document["bytes"] == path.data.stat().st_size


def test_train_has_the_fields_of_the_contract(path: Journey) -> None:
    document = path.document("train")
    assert {"run", "seed", "epochs", "seconds", "parameters", "best"} <= set(document)
    assert (document["run"], document["seed"], document["epochs"]) == (str(path.run), 5, 2)
    assert document["seconds"] > 0
    assert document["parameters"] > 1000
    assert 0 < document["best"]["accuracy"] <= 1
    worth = document["worth"]
    assert worth["split"] == "calibration"
    assert worth["network"] == document["operating_point"]["accuracy"]
    assert worth["gain"] == pytest.approx(worth["network"] - worth["linear"])
    assert "calibration spectra (by which the network was tuned); the network" in path.said["train"].err
    assert (path.run / "run.json").exists()
    assert (path.run / "calibration.json").exists()


def test_a_pretrained_backbone_is_trained_further(path: Journey, tmp_path: Path) -> None:
    corpus, backbone = tmp_path / "corpus.h5", tmp_path / "backbone.safetensors"
    simulated = call(
        "simulate", corpus, "--preset", "random", "--classes", 8, "--points", 300, "--spectra-per-class", 20
    )
    assert simulated.code == 0, simulated.err
    pretrained = call("pretrain", corpus, "--out", backbone, "--preset", "nano", "--epochs", 1, "--json")
    assert pretrained.code == 0, pretrained.err
    document = pretrained.document
    assert (document["backbone"], document["n_classes"], document["epochs"]) == (str(backbone), 8, 1)
    assert document["bytes"] == backbone.stat().st_size > 4 * document["parameters"]
    assert len(document["accuracy"]) == 3
    assert "held-out spectra of 8 substances" in pretrained.err
    run = tmp_path / "run"
    words = ("--method", "distilled", "--preset", "nano", "--epochs", 1, "--augmentation", "none", "--threads", 1)
    trained = call("train", path.data, "--out", run, *words, "--backbone", backbone, "--json")
    assert trained.code == 0, trained.err
    config = load_run(run).config
    assert (config.adaptivity, config.additive, config.augmentation) == ("none", False, "none")
    assert config.backbone == str(backbone)


def test_classes_are_corrected_from_calibration_to_bundle(path: Journey, tmp_path: Path) -> None:
    run, bundle = Path(shutil.copytree(path.run, tmp_path / "run")), tmp_path / "corrected.specnet"
    plain = call("calibrate", run, path.data, "--class-bias", "no", "--json")
    assert (plain.document["class_bias"], plain.document["biases"], plain.document["bias_gain"]) == (False, [], None)
    assert "corrected class by class" not in plain.err
    calibrated = call("calibrate", run, path.data, "--class-bias", "yes", "--json")
    assert calibrated.document["class_bias"] is True
    assert isinstance(calibrated.document["bias_gain"], float)
    assert "every exit's answers are corrected class by class" in calibrated.err
    policy = read_calibration(run / "calibration.json").policy
    assert [len(row) for row in policy.biases] == [5] * 4
    exported = call("export", run, path.data, "--out", bundle, "--json")
    assert exported.code == 0, exported.err
    assert read_bundle(bundle).manifest.policy.biases == policy.biases
    assert "classes corrected" in call("inspect", bundle).out
    expected = route(policy, load_run(run).cache(path.data, Holdout.TEST).logits.logits)
    table = read_spectra(path.data)
    said = Predictor(read_bundle(bundle)).predict(table.intensity[table.rows(Holdout.TEST)])
    np.testing.assert_array_equal(said.exit_index, expected.exit_index)
    np.testing.assert_allclose(said.probabilities, expected.probabilities, atol=1e-3)


def test_evaluate_has_the_fields_of_the_contract(path: Journey) -> None:
    document = path.document("evaluate")
    test = len(read_spectra(path.data).rows(Holdout.TEST))
    assert (len(document["classes"]), document["n_test"], document["split_by"]) == (5, test, "sample_id")
    assert [entry["exit"] for entry in document["exits"]] == [0, 1, 2, 3]
    for entry in document["exits"]:
        assert {"exit", "macs", "accuracy", "balanced_accuracy", "ece"} <= set(entry)
        assert 0 <= entry["accuracy"] <= 1
    for entry in document["budgeted"]:
        assert {"mean_macs", "accuracy", "balanced_accuracy", "exit_shares", "thresholds"} <= set(entry)
        assert sum(entry["exit_shares"]) == pytest.approx(1)
    point = document["operating_point"]
    assert {
        "mean_macs",
        "mean_us",
        "accuracy",
        "balanced_accuracy",
        "exit_shares",
        "active_share",
    } <= set(point)
    assert 0 < point["mean_macs"] <= document["static_macs"]
    assert document["worth"]["network"] == point["accuracy"]
    assert document["worth"]["linear"] == document["exits"][0]["accuracy"]
    assert document["exits"][-1]["macs"] <= document["static_macs"]
    assert all(Path(plot).stat().st_size > 0 for plot in document["plots"])


def test_export_writes_the_bundle_that_it_names(path: Journey) -> None:
    document = path.document("export")
    manifest = read_bundle(path.bundle).manifest
    assert document["bundle_id"] == manifest.bundle_id
    assert (document["version"], document["name"]) == (3, "minerals") == (manifest.version, manifest.name)
    assert (document["segments"], document["bytes"]) == (4, path.bundle.stat().st_size)
    assert manifest.policy.thresholds == manifest.operating_points["budget"].thresholds


def test_predict_answers_as_the_library_does(path: Journey) -> None:
    document = path.document("predict")
    table = read_spectra(path.data)
    table = table.select(table.rows(Holdout.TEST))
    prediction = load_bundle(path.bundle).predict(table.intensity, table.axis)
    assert document["n"] == len(document["answers"]) == table.n_spectra
    assert [answer["class"] for answer in document["answers"]] == prediction.names
    assert [answer["exit"] for answer in document["answers"]] == prediction.exit_index.tolist()
    assert [answer["macs"] for answer in document["answers"]] == prediction.macs.tolist()
    assert [answer["known"] for answer in document["answers"]] == prediction.known.tolist()
    np.testing.assert_allclose(
        [answer["probability"] for answer in document["answers"]], prediction.probabilities.max(axis=1), atol=1e-6
    )
    assert table.labels is not None
    assert document["accuracy"] == pytest.approx(float((prediction.labels == table.labels).mean()))


def test_inspect_and_bench_look_at_the_same_bundle(path: Journey) -> None:
    bundle_id = read_bundle(path.bundle).bundle_id
    assert path.document("inspect")["manifest"]["bundle_id"] == bundle_id
    bench = path.document("bench")
    assert bench["bundle_id"] == bundle_id
    assert [part["part"] for part in bench["parts"]] == ["preprocessing", *(f"segments/{k}.onnx" for k in range(4))]
    assert all(0 < part["median_us"] <= part["p95_us"] for part in bench["parts"])


def test_without_json_the_same_is_told_as_text(path: Journey) -> None:
    predicted = call("predict", path.bundle, path.data, "--part", "test")
    assert predicted.code == 0
    assert "probability" in predicted.out
    assert f"accuracy {path.document('predict')['accuracy']:.2%}" in predicted.out
    assert "and " in predicted.out  # more than are shown
    exported = call("export", path.run, path.data, "--out", path.bundle.with_name("again.specnet"), "--name", "other")
    assert exported.code == 0
    assert "segments/3.onnx" in exported.out
    assert "other version 1" in exported.out


def test_export_finds_the_data_where_training_found_them(path: Journey, tmp_path: Path) -> None:
    exported = call("export", path.run, "--out", tmp_path / "found.specnet", "--json")
    assert exported.code == 0
    assert exported.document["segments"] == 4


def test_csv_and_npz_are_spectra_too(path: Journey, tmp_path: Path) -> None:
    table = read_spectra(path.data)
    table = table.select(table.rows(Holdout.TEST)[:4])
    expected = [answer["class"] for answer in path.document("predict")["answers"][:4]]
    np.savez(tmp_path / "s.npz", X=table.intensity, axis=table.axis.values, y=np.arange(4))
    rows = [",".join(map(str, row)) for row in [table.axis.values, *table.intensity]]
    (tmp_path / "s.csv").write_text("\n".join(rows) + "\n")
    for name in ("s.npz", "s.csv"):
        predicted = call("predict", path.bundle, tmp_path / name, "--json")
        assert predicted.code == 0, predicted.err
        assert "is taken as raman_shift in 1/cm" in predicted.err
        assert [answer["class"] for answer in predicted.document["answers"]] == expected


def test_the_program_itself_keeps_stdout_clean(path: Journey) -> None:
    words = ["predict", str(path.bundle), str(path.data), "--part", "test", "--json"]
    done = subprocess.run([sys.executable, "-m", "specnet", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert Called(0, done.stdout, done.stderr).document == path.document("predict")
    assert "\x1b" not in done.stderr  # no bars where nobody looks


def test_the_program_fails_with_its_exit_code(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "specnet", "predict", str(tmp_path / "no.specnet"), str(tmp_path / "no.h5")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("specnet: cannot read bundle")
    assert done.stderr.count("\n") == 1
