"""A finished run on disk: it comes back as it was, or says why it does not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support_trained import Trained

from specnet.datasets import Holdout, read_spectra, write_spectra
from specnet.errors import AxisError, DatasetError, ModelError
from specnet.nn import create_model, save_weights
from specnet.training import load_run

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def folder(trained: Trained, tmp_path: Path) -> Path:
    """A copy of the run that may be damaged."""
    return Path(shutil.copytree(trained.run.path, tmp_path / "run"))


def test_a_run_comes_back_as_it_was(trained: Trained) -> None:
    run, again = trained.run, load_run(trained.run.path)
    assert (again.axis, again.source_axis, again.classes) == (run.axis, run.source_axis, run.classes)
    assert again.pipeline.to_list() == run.pipeline.to_list()
    assert (again.config, again.split_by, again.split_origin) == (run.config, run.split_by, run.split_origin)
    assert (again.intensity_unit, again.provenance) == (run.intensity_unit, run.provenance)
    one, two = (item.cache(trained.data, Holdout.TEST) for item in (run, again))
    np.testing.assert_array_equal(one.logits.logits, two.logits.logits)
    np.testing.assert_array_equal(one.logits.macs, two.logits.macs)
    assert not again.network.training


def test_cached_spectra_know_their_groups(trained: Trained) -> None:
    table = read_spectra(trained.data)
    for holdout in (Holdout.CALIBRATION, Holdout.TEST):
        cached = trained.run.cache(trained.data, holdout).logits
        samples = table.columns[table.group_by][table.rows(holdout)]
        assert cached.groups is not None
        same = cached.groups[:, np.newaxis] == cached.groups
        np.testing.assert_array_equal(same, samples[:, np.newaxis] == samples)


def test_the_run_says_where_it_comes_from(trained: Trained) -> None:
    provenance = trained.run.provenance
    assert provenance["data"] == trained.data.name
    assert len(provenance["data_sha256"]) == 64
    assert provenance["n_train"] == len(read_spectra(trained.data).rows(Holdout.TRAIN))
    assert len(provenance["history"]) == trained.config.epochs
    assert all(np.isfinite(list(epoch.values())).all() for epoch in provenance["history"])


def test_a_folder_without_a_run_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"is no finished training run: cannot read file .*run\.json: No such file"):
        load_run(tmp_path / "nothing")
    (folder / "weights.safetensors").unlink()
    with pytest.raises(ModelError, match=r"is no finished training run: cannot read .*weights\.safetensors: No such"):
        load_run(folder)
    with pytest.raises(ModelError, match="is no finished training run"):
        load_run(folder / "run.json")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3", '"x"', "\xff", "{}", '{"format": 1}', '{"format": "1"}'])
def test_a_document_that_is_no_run_is_damaged(folder: Path, text: str) -> None:
    (folder / "run.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ModelError, match=r"run\.json is damaged"):
        load_run(folder)


def _change(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    plain = json.loads((folder / "run.json").read_text())
    change(plain)
    (folder / "run.json").write_text(json.dumps(plain))


def test_a_newer_format_is_named(folder: Path) -> None:
    _change(folder, lambda plain: plain.update(format=2))
    with pytest.raises(ModelError, match="has run format 2, this release reads up to 1"):
        load_run(folder)


CHANGES: list[Callable[[dict[str, Any]], Any]] = [
    lambda plain: plain.update(axis={}),
    lambda plain: plain["axis"].update(quantity="colour"),
    lambda plain: plain["source_axis"].update(values=[2, 1]),
    lambda plain: plain.update(pipeline=[{"step": "magic"}]),
    lambda plain: plain.update(pipeline=5),
    lambda plain: plain.update(classes=None),
    lambda plain: plain.pop("classes"),
    lambda plain: plain["training"].update(momentum=1),
    lambda plain: plain["training"].update(epochs=-1),
    lambda plain: plain["training"].update(epochs="many"),
    lambda plain: plain.update(training=[]),
    lambda plain: plain["architecture"].update(widths=[]),
    lambda plain: plain["architecture"].update(stem_stride=0),
    lambda plain: plain["architecture"].update(linear_bin=0),
    lambda plain: plain["architecture"].update(n_points="many"),
    lambda plain: plain["architecture"].update(n_classes=10**15),
    lambda plain: plain["architecture"].update(block="magic"),
    lambda plain: plain["architecture"].update(layers=3),
    lambda plain: plain.update(architecture=None),
]


@pytest.mark.parametrize("change", CHANGES, ids=range(len(CHANGES)))
def test_every_damaged_field_is_a_model_error(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    _change(folder, change)
    with pytest.raises(ModelError):
        load_run(folder)


def test_weights_of_another_network_are_refused(folder: Path, trained: Trained) -> None:
    other = create_model("tiny", n_points=trained.run.axis.n_points, n_classes=len(trained.run.classes))
    (folder / "weights.safetensors").write_bytes(save_weights(other))
    with pytest.raises(ModelError, match="the weights do not fit the network"):
        load_run(folder)


def test_damaged_weights_are_refused(folder: Path) -> None:
    path = folder / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelError, match="the weights do not fit the network"):
        load_run(folder)


def test_a_giant_document_is_not_read(folder: Path) -> None:
    with (folder / "run.json").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ModelError, match=r"run\.json has 1099511627776 bytes, at most 16777216 are read"):
        load_run(folder)


def test_costs_of_cached_spectra_are_those_of_their_depths(trained: Trained) -> None:
    run, cached = trained.run, trained.run.cache(trained.data, Holdout.TEST)
    fixed, unit = run.network.fixed_macs(), run.network.unit_macs()
    expected = fixed[0]
    assert (cached.logits.macs[0] == expected).all()
    for k, depth in enumerate(cached.depths, start=1):
        expected = expected + fixed[k] + unit[k - 1] * depth.astype(np.int64).sum(axis=1)
        np.testing.assert_array_equal(cached.logits.macs[k], expected)
    assert (cached.logits.macs[-1] <= run.network.static_macs()).all()
    everything = [np.full_like(depth, units) for depth, units in zip(cached.depths, cached.units, strict=True)]
    assert (run.executed_macs(everything, len(everything[0]))[-1] == run.network.static_macs()).all()


def test_logits_of_a_part_do_not_depend_on_batches(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    from specnet.training import run as module

    whole, steps = trained.run.cache(trained.data, Holdout.TEST), list[int]()
    monkeypatch.setattr(module, "BATCH", 7)
    pieces = trained.run.cache(trained.data, Holdout.TEST, steps.append)
    assert sum(steps) == whole.logits.n_spectra > 7
    assert max(steps) == 7
    np.testing.assert_allclose(pieces.logits.logits, whole.logits.logits, atol=1e-4)
    np.testing.assert_array_equal(pieces.logits.labels, whole.logits.labels)


def test_a_file_with_other_classes_is_refused(trained: Trained, tmp_path: Path) -> None:
    from dataclasses import replace

    table = read_spectra(trained.data)
    names = ("unobtainium", *table.class_names[1:])
    other = write_spectra(tmp_path / "other.h5", replace(table, class_names=names))
    with pytest.raises(DatasetError, match=r"has 6 classes, the run 6; they differ in \[.*'unobtainium'"):
        trained.run.cache(other, Holdout.TEST)


def test_a_file_that_does_not_cover_the_axis_is_refused(trained: Trained, tmp_path: Path) -> None:
    from dataclasses import replace

    from specnet.spectra import SpectralAxis

    table = read_spectra(trained.data)
    axis = SpectralAxis(table.axis.values + 400.0, table.axis.quantity, table.axis.unit)
    other = write_spectra(tmp_path / "other.h5", replace(table, axis=axis))
    with pytest.raises(AxisError, match="cover"):
        trained.run.cache(other, Holdout.TEST)


def test_training_leaves_exit_0_as_it_was_fitted(trained: Trained) -> None:
    cached = trained.run.cache(trained.data, Holdout.TRAIN)
    assert (cached.logits.logits[0].argmax(axis=1) == cached.logits.labels).mean() > 0.95
    assert torch.isfinite(trained.run.network.exit0.weight).all()
