"""Pilot trainings find out what the spectra bear, always the same, and once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.utils.data import TensorDataset

from specnet.nn import create_model
from specnet.nn.protocol import ExitNetwork
from specnet.training import TrainConfig, pilots, train
from specnet.training.config import AUTO, SHIPPED
from specnet.training.pilots import Choice, choose_recipe, read_choice

pytestmark = pytest.mark.usefixtures("one_thread")
POINTS = 64
CONFIG = TrainConfig(preset="nano", epochs=20, batch_size=8, augmentation=AUTO, additive=False, learning_rate=1e-2)


def _bands_half_a_point_apart(n: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Two classes whose only band is at point 30, or half a point further."""
    generator = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    bands = 4.0 * np.exp(-0.5 * ((np.arange(POINTS) - 30 - labels[:, None] / 2) / 1.5) ** 2)
    return (bands + 0.05 * generator.standard_normal((n, POINTS))).astype(np.float32), labels.astype(np.int64)


def _build(recipe: TrainConfig) -> ExitNetwork:
    torch.manual_seed(recipe.seed)
    network = create_model("nano", n_points=POINTS, n_classes=2, adaptivity=recipe.adaptivity, additive=recipe.additive)
    if recipe.additive:
        network.start_from_exit0()  # type: ignore[attr-defined]
    return network


Set = tuple[NDArray[np.float32], NDArray[np.int64]]


def _choose(
    training: Set,
    held_out: Set,
    config: TrainConfig = CONFIG,
    *,
    offsets: NDArray[np.float32] | None = None,
    stage: Callable[[str], None] = lambda text: None,
) -> Choice:
    spectra, labels = training
    data: Any = TensorDataset(torch.from_numpy(spectra), torch.from_numpy(labels))
    known = torch.from_numpy(np.zeros((len(labels), 2), np.float32) if offsets is None else offsets)
    return choose_recipe(_build, data, known, *held_out, config, stage=stage)


FINE = _bands_half_a_point_apart(64, seed=0), _bands_half_a_point_apart(40, seed=1)


def test_where_no_disturbance_is_clearly_better_a_strong_one_is_not_tried() -> None:
    said: list[str] = []
    choice = _choose(*FINE, stage=said.append)
    assert choice.augmentation == "none"
    assert not choice.additive
    assert list(choice.tried) == ["light, on its own", "none, on its own"]
    assert choice.tried["none, on its own"] < pilots.CLEARLY * choice.tried["light, on its own"]
    assert [sentence.partition(":")[0] for sentence in said] == [f"pilot {name}" for name in choice.tried]


def test_a_disturbance_larger_than_what_tells_classes_apart_loses_always_by_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pilots, "USUAL", "strong")
    choice = _choose(*FINE)
    assert choice.augmentation == "none"
    assert choice.tried["strong, on its own"] > choice.tried["none, on its own"] + 0.1
    assert _choose(*FINE) == choice


def test_disturbances_as_large_as_those_of_the_instrument_win() -> None:
    """All training spectra are from one instrument; the calibration split is from others."""

    def spectra(n: int, seed: int, error: float) -> Set:
        generator = np.random.default_rng(seed)
        labels = np.arange(n) % 2
        # which of two bands is first: to be told wherever they are
        centres = 28 + error * generator.standard_normal((n, 1))
        grid = np.arange(POINTS)
        high, low = (np.exp(-0.5 * ((grid - centres - offset) / 2) ** 2) for offset in (0, 8))
        mixed = np.where(labels[:, None] == 0, 4 * high + 2 * low, 2 * high + 4 * low)
        return (mixed + 0.1 * generator.standard_normal((n, POINTS))).astype(np.float32), labels.astype(np.int64)

    choice = _choose(spectra(64, 0, 0.0), spectra(60, 1, 4.0))
    light, none, strong = choice.tried.values()
    assert none > light > strong
    assert choice.augmentation == "strong"


@pytest.mark.parametrize(
    ("none", "strong", "chosen"), [(0.99, 1.03, "light"), (0.97, 0.5, "none"), (0.99, 1.01, "strong")]
)
def test_light_stays_unless_none_is_clearly_better_or_strong_hardly_worse(
    none: float, strong: float, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What pilots find is given here: the rule that chooses by it is what is tested."""
    found = iter([1.0, none, strong])
    monkeypatch.setattr(pilots, "train_network", lambda *args, **kwargs: None)
    monkeypatch.setattr(pilots, "combined_nats", lambda *args, **kwargs: next(found))
    assert _choose(*FINE).augmentation == chosen


@pytest.mark.parametrize(
    ("pretrained", "chosen"), [(0.97, SHIPPED), (0.985, "")], ids=["clearly better", "hardly better"]
)
def test_a_pretrained_network_must_be_ahead_of_the_same_one_that_starts_from_nothing(
    pretrained: float, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What pilots find is given here: none 2, light 1.5, strong 1, added to exit 0 .9, and that pretrained."""
    found, tried = iter([1.5, 2.0, 1.0, 0.9, 0.9 * pretrained]), list[TrainConfig]()

    def build(recipe: TrainConfig) -> ExitNetwork:
        tried.append(recipe)
        return _build(replace(recipe, preset="nano"))

    monkeypatch.setattr(pilots, "train_network", lambda *args, **kwargs: None)
    monkeypatch.setattr(pilots, "combined_nats", lambda *args, **kwargs: next(found))
    open_ = replace(CONFIG, preset="tiny", additive=None)
    (spectra, labels), held_out = FINE
    data: Any = TensorDataset(torch.from_numpy(spectra), torch.from_numpy(labels))
    choice = choose_recipe(build, data, torch.zeros(len(labels), 2), *held_out, open_)
    assert (choice.augmentation, choice.additive, choice.backbone) == ("strong", True, chosen)
    assert [recipe.backbone for recipe in tried] == ["", "", "", "", SHIPPED]
    assert (tried[-1].augmentation, tried[-1].additive) == ("strong", True)
    assert list(choice.tried)[-1] == "strong, added to exit 0, pretrained"
    assert choice.settled(open_) == replace(open_, augmentation="strong", additive=True, backbone=chosen)


@pytest.mark.parametrize("given", ["", "none", "mine.safetensors", SHIPPED])
def test_a_backbone_that_is_given_is_no_question(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = iter([1.0, 1.0, 1.1])
    monkeypatch.setattr(pilots, "train_network", lambda *args, **kwargs: None)
    monkeypatch.setattr(pilots, "combined_nats", lambda *args, **kwargs: next(found))
    choice = _choose(*FINE, replace(CONFIG, preset="tiny", backbone=given))
    assert choice.backbone == ("" if given == "none" else given)
    assert next(found, None) is None
    assert all(name.endswith(", pretrained") == (given not in ("", "none")) for name in choice.tried)


def test_without_pilots_nothing_open_is_made_use_of() -> None:
    assert pilots.without_pilots(TrainConfig()) == Choice("light", False, "", {})
    given = TrainConfig(augmentation="none", additive=True, backbone=SHIPPED)
    assert pilots.without_pilots(given) == Choice("none", True, SHIPPED, {})
    assert not TrainConfig().pretrained
    assert given.pretrained


def test_exits_are_not_added_to_an_exit_0_that_misleads() -> None:
    """Offsets that seem to know everything leave the exits nothing to learn; exit 0 itself says nothing."""
    offsets = 40.0 * np.eye(2, dtype=np.float32)[FINE[0][1]]
    choice = _choose(*FINE, replace(CONFIG, additive=None), offsets=offsets)
    assert not choice.additive
    assert list(choice.tried)[2:] == ["none, added to exit 0"]
    assert choice.tried["none, added to exit 0"] == pytest.approx(np.log(2), abs=0.05)
    assert choice.tried["none, on its own"] < 0.5


AUTOMATIC = TrainConfig(preset="nano", epochs=2, batch_size=24, seed=3, preprocessing="snv", augmentation=AUTO)


class _Interrupted(Exception):
    pass


def _stop(epoch: int, values: dict[str, float]) -> None:
    raise _Interrupted


@pytest.fixture(scope="module")
def interrupted(small_file: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A training of one of two epochs, and what it said on the way."""
    folder, said = tmp_path_factory.mktemp("pilots") / "run", list[str]()
    with pytest.raises(_Interrupted):
        train(small_file, folder, AUTOMATIC, report=_stop, stage=said.append)
    return folder, said


def _pilots(said: list[str]) -> list[str]:
    return [sentence for sentence in said if sentence.startswith("pilot ")]


def test_a_continued_training_does_without_pilots(
    interrupted: tuple[Path, list[str]], small_file: Path, tmp_path: Path
) -> None:
    folder, said = Path(shutil.copytree(interrupted[0], tmp_path / "run")), list[str]()
    assert len(_pilots(interrupted[1])) >= 3  # two strengths at least, and additive exits
    kept = json.loads((folder / "choice.json").read_text())
    run = train(small_file, folder, AUTOMATIC, resume=True, stage=said.append)
    assert not _pilots(said)
    assert run.provenance["pilots"] == kept["tried"]
    del kept["identity"]
    assert run.config == Choice(**kept).settled(run.config)
    assert not (folder / "choice.json").exists()
    whole = train(small_file, tmp_path / "whole", AUTOMATIC)
    weights = [(path / "weights.safetensors").read_bytes() for path in (folder, whole.path)]
    assert weights[0] == weights[1]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"identity": 1}', "\xff", '{"identity": {}, "colour": 1}'])
def test_a_damaged_choice_is_made_again(text: str, tmp_path: Path) -> None:
    path = tmp_path / "choice.json"
    path.write_bytes(text.encode("latin-1"))
    assert read_choice(path, {}) is None


def test_a_choice_is_that_of_its_own_training_only(tmp_path: Path) -> None:
    path, choice = tmp_path / "choice.json", Choice("light", True, "shipped", {"light, on its own": 0.5})
    assert read_choice(path, {"seed": 1}) is None
    path.write_text(json.dumps({"identity": {"seed": 1}, **asdict(choice)}))
    assert read_choice(path, {"seed": 1}) == choice
    assert read_choice(path, {"seed": 2}) is None
    with path.open("r+b") as file:
        file.truncate(2 << 20)
    assert read_choice(path, {"seed": 1}) is None


def test_a_foreign_checkpoint_is_refused_before_anything_is_tried(
    interrupted: tuple[Path, list[str]], small_file: Path
) -> None:
    from specnet.errors import ModelError

    folder, said = interrupted[0], list[str]()
    before = (folder / "choice.json").read_bytes()
    with pytest.raises(ModelError, match="belongs to another training: seed was 3, is now 4"):
        train(small_file, folder, replace(AUTOMATIC, seed=4), resume=True, stage=said.append)
    assert len(said) == 1  # the split
    assert (folder / "choice.json").read_bytes() == before
