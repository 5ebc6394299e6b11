"""The same seed gives the same weights, also when the training was interrupted, killed and continued."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support_trained import Trained
from torch.utils.data import TensorDataset

from specnet.cli import main
from specnet.errors import ConfigurationError, ModelError
from specnet.nn import SpecNet, create_model
from specnet.training import TrainConfig, load_run, train, train_network

pytestmark = pytest.mark.usefixtures("one_thread")
CHECKPOINT = "checkpoint.safetensors"


class _Interrupted(Exception):
    pass


def _stop_after(epochs: int) -> Callable[[int, dict[str, float]], None]:
    def report(epoch: int, values: dict[str, float]) -> None:
        if epoch == epochs:
            raise _Interrupted

    return report


def _weights(folder: Path) -> bytes:
    return (folder / "weights.safetensors").read_bytes()


@pytest.fixture(scope="module")
def interrupted(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two of the four epochs of `trained`."""
    folder = tmp_path_factory.mktemp("interrupted") / "run"
    with pytest.raises(_Interrupted):
        train(trained.data, folder, trained.config, report=_stop_after(2))
    return folder


def test_the_same_seed_gives_the_same_weights(
    trained: Trained,
    tmp_path: Path,
) -> None:
    again = train(trained.data, tmp_path / "again", trained.config)
    assert _weights(again.path) == _weights(trained.run.path)
    assert again.provenance["history"] == trained.run.provenance["history"]


def test_another_seed_gives_other_weights(trained: Trained, tmp_path: Path) -> None:
    other = train(trained.data, tmp_path / "other", replace(trained.config, seed=4, epochs=1))
    same = train(trained.data, tmp_path / "same", replace(trained.config, epochs=1))
    assert _weights(other.path) != _weights(same.path)


def test_an_interrupted_training_continues_as_if_nothing_had_been(
    trained: Trained,
    interrupted: Path,
    tmp_path: Path,
) -> None:
    folder = shutil.copytree(interrupted, tmp_path / "run")
    assert [entry.name for entry in folder.iterdir()] == [CHECKPOINT]
    epochs = []
    run = train(trained.data, folder, trained.config, resume=True, report=lambda epoch, values: epochs.append(epoch))
    assert epochs == [3, 4]
    assert _weights(folder) == _weights(trained.run.path)
    assert run.provenance["history"] == trained.run.provenance["history"]
    assert not (folder / CHECKPOINT).exists()


def test_unfinished_work_is_not_thrown_away_unasked(trained: Trained, interrupted: Path) -> None:
    with pytest.raises(ModelError, match="has an unfinished training; continue it with --resume"):
        train(trained.data, interrupted, trained.config)


@pytest.mark.parametrize("resume", [True, False])
def test_a_finished_run_is_not_written_over(trained: Trained, resume: bool) -> None:
    before = _weights(trained.run.path)
    with pytest.raises(ModelError, match="already has a finished run; choose another folder"):
        train(trained.data, trained.run.path, trained.config, resume=resume)
    assert _weights(trained.run.path) == before


def test_a_run_killed_between_its_last_two_steps_is_finished(
    trained: Trained,
    interrupted: Path,
    tmp_path: Path,
) -> None:
    folder = shutil.copytree(trained.run.path, tmp_path / "run")
    shutil.copy(interrupted / CHECKPOINT, folder)
    train(trained.data, folder, trained.config, resume=True)
    assert not (folder / CHECKPOINT).exists()
    assert _weights(folder) == _weights(trained.run.path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 9}, "epochs was 4, is now 9"),
        ({"active_target": 0.6}, "active_target was 0.5, is now 0.6"),
        ({"preset": "tiny"}, "preset was nano, is now tiny"),
        ({"seed": 1}, "seed was 3, is now 1"),
        ({"adaptivity": "none"}, "adaptivity was gate, is now none"),
        ({"additive": True}, "additive was False, is now True"),
    ],
)
def test_a_checkpoint_of_another_recipe_is_refused_with_both_values(
    trained: Trained,
    interrupted: Path,
    changes: dict[str, object],
    message: str,
) -> None:
    before = (interrupted / CHECKPOINT).read_bytes()
    with pytest.raises(ModelError, match=f"belongs to another training: {message}"):
        train(trained.data, interrupted, replace(trained.config, **changes), resume=True)  # type: ignore[arg-type]
    assert (interrupted / CHECKPOINT).read_bytes() == before


def test_a_checkpoint_of_other_data_is_refused(
    trained: Trained,
    interrupted: Path,
    tmp_path: Path,
) -> None:
    from specnet.datasets import read_spectra, write_spectra

    table = read_spectra(trained.data)
    other = write_spectra(tmp_path / "other.h5", replace(table, intensity=table.intensity + 1))
    with pytest.raises(ModelError, match="belongs to another training: data_sha256 was"):
        train(other, interrupted, trained.config, resume=True)


@pytest.mark.parametrize("damage", ["empty", "text", "truncated", "flipped header"])
def test_a_damaged_checkpoint_is_refused(
    trained: Trained,
    interrupted: Path,
    tmp_path: Path,
    damage: str,
) -> None:
    folder = shutil.copytree(interrupted, tmp_path / "run")
    data = (folder / CHECKPOINT).read_bytes()
    (folder / CHECKPOINT).write_bytes(
        {
            "empty": b"",
            "text": b"no checkpoint",
            "truncated": data[: len(data) // 2],
            "flipped header": data[:8] + b"[" + data[9:],
        }[damage]
    )
    with pytest.raises(ModelError, match=r"checkpoint .* cannot be read"):
        train(trained.data, folder, trained.config, resume=True)


def test_a_killed_training_leaves_a_checkpoint_that_can_be_continued(
    small_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """SIGKILL at a random moment after the first epochs: no Python code gets to clean anything up."""
    folder = tmp_path / "run"
    words = ["train", str(small_file), "--out", str(folder), "--preset", "nano", "--epochs", "20"]
    words += ["--preprocessing", "snv", "--augmentation", "light", "--threads", "1", "--json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "specnet", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 120
        while not (folder / CHECKPOINT).exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.02)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(random.uniform(0.0, 0.3))  # a random moment of some epoch
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert process.returncode == -signal.SIGKILL
    assert not (folder / "run.json").exists()
    assert main([*words, "--resume"]) == 0
    assert json.loads(capsys.readouterr().out)["epochs"] == 20
    run = load_run(folder)
    assert len(run.provenance["history"]) == 20


def test_a_training_that_was_killed_before_its_first_epoch_starts_anew(small_file: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    run = train(
        small_file,
        tmp_path / "run",
        TrainConfig(preset="nano", epochs=1, preprocessing="snv", augmentation="none"),
        resume=True,
    )
    assert run.path.joinpath("run.json").exists()


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("epochs", -1, "expected at least 1"),
        ("batch_size", 1, "at least 2"),
        ("learning_rate", 0.0, "between 0 and 1"),
        ("learning_rate", float("nan"), "between 0 and 1"),
        ("weight_decay", -1.0, "from 0 to 1"),
        ("distillation", 1.5, "from 0 to 1"),
        ("temperature", 0.0, "positive"),
        ("active_target", 0.0, "above 0, at most 1"),
        ("seed", -1, "from 0"),
    ],
)
def test_recipes_out_of_range_are_refused(option: str, value: float, message: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{option} is .*{message}"):
        TrainConfig(**{option: value})  # type: ignore[arg-type]


def test_a_recipe_survives_json_and_refuses_foreign_options(recipe: TrainConfig) -> None:
    assert TrainConfig.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe
    with pytest.raises(ModelError, match=r"unknown training options \['momentum'\]"):
        TrainConfig.from_dict({**recipe.to_dict(), "momentum": 0.9})


def test_a_loss_that_is_not_finite_ends_the_training_with_advice() -> None:
    network = create_model("nano", n_points=64, n_classes=2)
    data = TensorDataset(torch.full((8, 64), torch.inf), torch.tensor([0, 1] * 4))
    with pytest.raises(ModelError, match=r"the loss is nan in epoch 1; try a lower learning rate"):
        train_network(network, data, TrainConfig(preset="nano", epochs=3, augmentation="none"))


def test_the_compute_target_is_met(small_file: Path, tmp_path: Path) -> None:
    """Half of the units' computation, asked for and got, on spectra that were not trained on."""
    from specnet.datasets import Holdout

    recipe = TrainConfig(
        preset="nano",
        preprocessing="snv",
        augmentation="light",
        additive=False,
        epochs=16,
        batch_size=6,
        active_target=0.5,
        learning_rate=1e-2,
    )
    run = train(small_file, tmp_path / "run", recipe)
    cached = run.cache(small_file, Holdout.TEST)
    network = run.network
    assert isinstance(network, SpecNet)
    config, at_once = (
        network.config,
        [m * p for m, p in zip(network.unit_macs(), network.config.positions, strict=True)],
    )
    # units that were settled open always ran, those that were dropped never did
    opened = sum(macs * units for macs, units in zip(at_once, config.open_units, strict=True))
    full = network.static_macs() - sum(network.fixed_macs()) + opened
    share = (float(cached.logits.macs[-1].mean()) - sum(network.fixed_macs()) + opened) / full
    assert share == pytest.approx(0.5, abs=0.1)
    assert (cached.logits.logits.argmax(axis=2) == cached.logits.labels).mean(axis=1).min() > 0.9


def test_the_callers_choice_of_algorithms_is_left_as_it_was(small_file: Path, tmp_path: Path) -> None:
    before = torch.are_deterministic_algorithms_enabled()
    train(small_file, tmp_path / "run", TrainConfig(preset="nano", epochs=1, preprocessing="snv", augmentation="none"))
    assert torch.are_deterministic_algorithms_enabled() == before
