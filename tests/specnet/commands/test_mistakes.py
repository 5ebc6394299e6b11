"""A user's mistakes: exit code 2 and one line that says what was wrong and what was expected."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support_cli import Called, call
from support_trained import Trained

from specnet.cli import COMMANDS
from specnet.datasets import read_spectra, write_spectra
from specnet.nn import NetworkConfig
from specnet.spectra import SpectralAxis
from specnet.training import load_run
from specnet.tuning.architecture.space import Architecture, write_architecture

pytestmark = pytest.mark.usefixtures("one_thread")


def _mistake(called: Called, *texts: str) -> None:
    lines = called.err.splitlines()
    complaint = lines[-1]
    assert called.code == 2, called.err
    assert complaint.startswith("specnet: ")
    assert not any(line.startswith(("specnet: ", "Traceback")) for line in lines[:-1])
    assert called.out == ""
    for text in texts:
        assert text in complaint


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    path = tmp_path / "notes.h5"
    path.write_text("not spectra\n" * 100)
    return path


def _changed(trained: Trained, path: Path, **changes: object) -> Path:
    return write_spectra(path, replace(read_spectra(trained.data), **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("command", list(COMMANDS))
def test_help_has_an_example_and_succeeds(command: str) -> None:
    called = call(command, "--help")
    assert (called.code, called.err) == (0, "")
    assert f"example: specnet {command}" in " ".join(called.out.split())
    assert "--json" in called.out


def test_the_program_lists_its_commands_and_its_version() -> None:
    called = call("--help")
    assert called.code == 0
    assert all(command in called.out for command in COMMANDS)
    assert call("--version").out.startswith("specnet 0.")


@pytest.mark.parametrize("words", [[], ["paint"], ["train"], ["simulate", "x.h5", "--preset", "wild"]])
def test_a_wrong_command_line_is_a_users_mistake(words: list[str]) -> None:
    called = call(*words)
    assert (called.code, called.out) == (2, "")
    assert "error: " in called.err.splitlines()[-1]


def test_missing_files(trained: Trained, packed: Path, tmp_path: Path) -> None:
    missing, run = tmp_path / "missing.h5", trained.run.path
    _mistake(call("train", missing, "--out", tmp_path / "run"), "missing.h5")
    _mistake(call("calibrate", run, missing), "missing.h5")
    _mistake(call("evaluate", run, missing), "missing.h5")
    _mistake(call("export", run, missing, "--out", tmp_path / "x.specnet"), "missing.h5")
    _mistake(call("predict", packed, missing), "missing.h5")
    _mistake(call("inspect", missing), "missing.h5")
    for name in ("missing.csv", "missing.npz"):
        _mistake(call("predict", packed, tmp_path / name), name)
    for words in (
        ("predict", "no.specnet", trained.data),
        ("inspect", "no.specnet"),
        ("bench", "segments", "no.specnet"),
    ):
        _mistake(call(*words), "cannot read bundle no.specnet: No such file or directory")
    for command in ("calibrate", "evaluate"):
        _mistake(call(command, tmp_path, trained.data), "is no finished training run: cannot read file")
    _mistake(call("export", tmp_path, trained.data, "--out", tmp_path / "x.specnet"), "is no finished training run")
    assert list(tmp_path.iterdir()) == []


def test_a_text_file_is_no_hdf5_file(trained: Trained, packed: Path, text_file: Path, tmp_path: Path) -> None:
    _mistake(call("train", text_file, "--out", tmp_path / "run"), "notes.h5")
    _mistake(call("evaluate", trained.run.path, text_file), "notes.h5")
    _mistake(call("predict", packed, text_file), "notes.h5")
    _mistake(call("inspect", text_file), "notes.h5")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--preset", "huge", "unknown preset 'huge'; known: nano, tiny, peaks, small, base"),
        ("--preprocessing", "magic", "unknown preprocessing 'magic'; known: auto, none, snv"),
        ("--augmentation", "wild", "unknown augmentation 'wild'; known: none, light, measured, strong"),
        ("--method", "grandmothers", "unknown method 'grandmothers'; known: specnet, static"),
        ("--adaptivity", "mood", "unknown adaptivity 'mood'; known: "),
        ("--block", "lego", "unknown block 'lego'; known: "),
        ("--head", "cool", "unknown exit head 'cool'; known: "),
        ("--tap", "beer", "unknown tap 'beer'; known: "),
        ("--phases", "moon", "unknown phases 'moon'; known: joint, mixed"),
        ("--label-smoothing", "1", "label_smoothing is 1.0, expected from 0"),
        ("--backbone", "no.safetensors", "cannot read backbone no.safetensors: No such file"),
        ("--backbone-rate", "0", "backbone_rate is 0.0, expected above 0"),
        ("--epochs", "-1", "epochs is -1, expected"),
        ("--learning-rate", "7", "learning_rate is 7.0, expected between 0 and 1"),
        ("--active-target", "0", "active_target is 0.0, expected above 0"),
        ("--batch-size", "1", "batch_size is 1, expected at least 2"),
        ("--seed", "-3", "seed is -3, expected from 0"),
    ],
)
def test_options_of_training_out_of_range(
    spectra_file: Path, tmp_path: Path, option: str, value: str, message: str
) -> None:
    called = call("train", spectra_file, "--out", tmp_path / "run", "--epochs", 1, option, value)
    _mistake(called, message)
    assert called.err.count("\n") == 1, "said before anything was computed"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "texts"),
    [
        (["--widths", "8,a"], ["widths are numbers", "'8,a'"]),
        (["--widths", "8,12"], ["widths is (8, 12)", "as many as units, which are ()"]),
        (["--preset", "resnet1d", "--head-bins", "8"], ["'resnet1d' has no head_bins", "tiny"]),
        (["--architecture", "none.json"], ["cannot read architecture none.json: No such file"]),
    ],
)
def test_shapes_that_cannot_be_built(trained: Trained, tmp_path: Path, options: list[str], texts: list[str]) -> None:
    _mistake(call("train", str(trained.data), "--out", str(tmp_path / "run"), *options), *texts)


def test_a_shape_from_a_file_and_on_top_of_it(trained: Trained, tmp_path: Path) -> None:
    shape = Architecture((8, 12), (1, 0), "plain", 6, 8, 5)
    path = write_architecture(tmp_path / "shape.json", shape, {})
    out = tmp_path / "run"
    options = ["--architecture", str(path), "--head-channels", "7", "--epochs", "1", "--augmentation", "none"]
    assert call("train", str(trained.data), "--out", str(out), *options).code == 0
    config = load_run(out).network.config
    assert isinstance(config, NetworkConfig)
    assert (config.widths, config.block, config.stem_channels, config.head_channels) == ((8, 12), "plain", 6, 7)
    counts = zip(config.units, config.open_units, config.dropped_units, strict=True)
    assert [sum(stage) for stage in counts] == [1, 0]


def test_mistakes_of_pretraining(spectra_file: Path, tmp_path: Path) -> None:
    words = ("pretrain", spectra_file, "--out", tmp_path / "b.safetensors", "--epochs", 1)
    _mistake(
        call(*words, "--preset", "resnet1d"), "preset 'resnet1d' has no backbone; known: nano, tiny, peaks, small, base"
    )
    _mistake(call(*words, "--seed", "-3"), "seed is -3, expected from 0")
    _mistake(call("pretrain", tmp_path / "missing.h5", "--out", tmp_path / "b.safetensors"), "missing.h5")
    _mistake(call("pretrain", spectra_file, "--out", tmp_path), "is a folder, expected the name of a file")
    assert list(tmp_path.iterdir()) == []


def test_an_existing_run_is_kept(trained: Trained) -> None:
    before = (trained.run.path / "weights.safetensors").read_bytes()
    for extra in ((), ("--resume",)):
        words = ("train", trained.data, "--out", trained.run.path, "--preset", "nano", "--epochs", 1, *extra)
        _mistake(call(*words), "already has a finished run; choose another folder")
    assert (trained.run.path / "weights.safetensors").read_bytes() == before


def test_places_that_cannot_be_written(trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder.specnet").mkdir()
    words = ("train", trained.data, "--preset", "nano", "--epochs", 1, "--out")
    _mistake(call(*words, tmp_path / "file"), "file")
    _mistake(call(*words, tmp_path / "file" / "run"), "file")
    _mistake(call("export", trained.run.path, trained.data, "--out", tmp_path / "folder.specnet"), "folder.specnet")
    _mistake(call("export", trained.run.path, trained.data, "--out", tmp_path / "file" / "x.specnet"), "file")
    assert (tmp_path / "file").read_text() == "in the way"


def test_spectra_without_labels_cannot_be_trained_on(trained: Trained, tmp_path: Path) -> None:
    data = _changed(trained, tmp_path / "bare.h5", labels=None, class_names=(), bands=None)
    _mistake(call("train", data, "--out", tmp_path / "run"), "bare.h5 has no labels")


def test_spectra_whose_axis_does_not_cover_the_models(trained: Trained, packed: Path, tmp_path: Path) -> None:
    axis = trained.run.source_axis
    moved = SpectralAxis(axis.values + 500.0, axis.quantity, axis.unit)
    data = _changed(trained, tmp_path / "moved.h5", axis=moved)
    _mistake(call("predict", packed, data), "cover")
    _mistake(call("evaluate", trained.run.path, data, "--plots", tmp_path), "cover")
    _mistake(call("predict", packed, _changed(trained, tmp_path / "c.h5", axis=SpectralAxis.channels(300))), "channel")


def test_other_classes_than_those_of_the_run(trained: Trained, packed: Path, tmp_path: Path) -> None:
    names = ("unobtainium", *trained.run.classes[1:])
    data = _changed(trained, tmp_path / "other.h5", class_names=names)
    for command in ("calibrate", "evaluate"):
        _mistake(call(command, trained.run.path, data), "they differ in", "unobtainium")
    _mistake(call("export", trained.run.path, data, "--out", tmp_path / "x.specnet"), "unobtainium")
    # predicting needs no labels; those that the model cannot know are left out of the accuracy
    called = call("predict", packed, data, "--json")
    known = (np.asarray(read_spectra(data).labels) != 0).sum()
    assert called.code == 0
    assert f"on {known} spectra whose label the model knows" in called.err


def test_a_corrupt_bundle(trained: Trained, packed: Path, tmp_path: Path) -> None:
    data = bytearray(packed.read_bytes())
    data[len(data) // 2] ^= 1
    broken = tmp_path / "broken.specnet"
    broken.write_bytes(data)
    for words in (("predict", broken, trained.data), ("inspect", broken), ("bench", "segments", broken)):
        _mistake(call(*words), "broken.specnet is damaged")
    broken.write_bytes(packed.read_bytes()[:1000])
    _mistake(call("predict", broken, trained.data), "broken.specnet is damaged or no bundle")


def test_names_versions_and_threads_out_of_range(trained: Trained, packed: Path, tmp_path: Path) -> None:
    words = ("export", trained.run.path, trained.data, "--out", tmp_path / "x.specnet")
    _mistake(call(*words, "--name", "a b"), "a model's name is 1 to 64")
    _mistake(call(*words, "--version", "0"), "a version is at least 1, got 0")
    _mistake(call("predict", packed, trained.data, "--threads", "0"), "threads is 0, expected at least 1")
    _mistake(call("bench", "segments", packed, "--threads", "-1"), "threads is -1, expected at least 1")
    _mistake(call("bench", "segments", packed, "--batch", "0"), "batch is 0, expected at least 1")
    _mistake(call("bench", "segments", packed, "--repeats", "0"), "repeats is 0, expected at least 1")


def test_a_run_without_calibration_is_not_exported(trained: Trained, tmp_path: Path) -> None:
    folder = shutil.copytree(trained.run.path, tmp_path / "run")
    (folder / "calibration.json").unlink()
    _mistake(call("export", folder, trained.data, "--out", tmp_path / "x.specnet"), "calibration.json")


def test_a_part_that_the_file_does_not_have(trained: Trained, packed: Path, tmp_path: Path) -> None:
    data = _changed(trained, tmp_path / "unsplit.h5", holdout=None, group_by="")
    _mistake(call("predict", packed, data, "--part", "test"), "split")


def test_spectra_that_cannot_be_judged(trained: Trained, packed: Path, tmp_path: Path) -> None:
    table = read_spectra(trained.data)
    intensity = table.intensity.copy()
    intensity[3] = 0
    data = write_spectra(tmp_path / "dark.h5", replace(table, intensity=intensity))
    _mistake(call("predict", packed, data), "all points are zero")
