"""Cells on disk and the processes that make them."""

from __future__ import annotations

import json

import pytest
from support_cells import make_cell, make_task, run_or_die

from specnet.errors import ConfigurationError, DatasetError
from specnet.evaluation.comparison import Cell, Plan, default_folds
from specnet.evaluation.comparison.cell import finished_cell
from specnet.evaluation.comparison.workers import run_tasks


def test_a_cell_is_read_back_as_written(tmp_path):
    cell = make_cell("ridge", 0.5, seed=2, fold=3, detail={"preprocessing": "snv"})
    cell.write(tmp_path / "cell.json")
    assert Cell.read(tmp_path / "cell.json") == cell


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 99}', '{"format": 1, "method": "a", "colour": 1}'])
def test_a_damaged_cell_is_an_error_and_is_run_again(tmp_path, text):
    task = make_task("ridge", tmp_path)
    task.path.parent.mkdir()
    task.path.write_text(text)
    with pytest.raises(DatasetError, match=r"cell|format"):
        Cell.read(task.path)
    assert finished_cell(task, {}) is None


def test_only_a_success_of_the_same_recipe_is_used_again(tmp_path):
    task = make_task("ridge", tmp_path, seed=1, fold=2)
    assert task.path.name == "ridge-seed1-fold2.json"
    assert finished_cell(task, {}) is None
    identity = {"recipe": {"losses": ("a", "b")}}
    Cell("ridge", 1, 2, identity=identity, rows=[]).write(task.path)
    assert finished_cell(task, identity) is not None
    assert finished_cell(task, {"recipe": {"losses": ("a",)}}) is None
    Cell("ridge", 1, 2, identity=identity, error="no luck").write(task.path)
    assert finished_cell(task, identity) is None


def test_processes_are_kept_and_one_that_dies_takes_only_its_cell_with_it(tmp_path):
    methods = ["first", "dies", "second", "third"]
    tasks = [make_task(method, tmp_path) for method in methods]
    started, done = [], {}
    run_tasks(
        tasks,
        1,
        run_or_die,
        started=lambda task: started.append(task.method),
        done=lambda task, cell: done.update({task.method: cell}),
    )
    assert started == methods == list(done)
    assert done["dies"].error == "the process ended with exit code -9"
    assert Cell.read(tasks[1].path) == done["dies"]
    pids = [done[method].detail["pid"] for method in ("first", "second", "third")]
    assert pids[0] != pids[1] == pids[2]


def test_several_processes_share_the_tasks(tmp_path):
    tasks = [make_task("some", tmp_path, seed) for seed in range(4)]
    done = []
    run_tasks(tasks, 2, run_or_die, done=lambda task, cell: done.append(cell))
    assert sorted(cell.seed for cell in done) == [0, 1, 2, 3]
    assert sorted(json.loads(task.path.read_text())["seed"] for task in tasks) == [0, 1, 2, 3]


def test_a_plan_goes_fold_by_fold_and_seed_by_seed(tmp_path):
    plan = Plan(tmp_path, tmp_path, ("ridge", "lda"), seeds=(0, 1), folds=(0, 3))
    names = [task.name for task in plan.tasks("0" * 64)]
    assert names[:4] == ["ridge-seed0-fold0", "lda-seed0-fold0", "ridge-seed1-fold0", "lda-seed1-fold0"]
    assert len(set(names)) == 8


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"methods": ("ridge", "magic")}, "unknown methods magic; known: pls_da, ridge"),
        ({"methods": ()}, "none given"),
        ({"methods": ("ridge", "ridge")}, "named twice"),
        ({"seeds": ()}, "seeds are \\[\\]"),
        ({"folds": (1, 1)}, "folds are \\[1, 1\\]"),
    ],
)
def test_a_plan_says_what_is_wrong_with_it(tmp_path, wrong, text):
    right = {"data": tmp_path, "out": tmp_path, "methods": ("ridge",)}
    with pytest.raises(ConfigurationError, match=text):
        Plan(**(right | wrong))


def test_the_files_own_test_part_is_used_where_there_is_one(spectra_file, tmp_path):
    from dataclasses import replace

    from specnet.datasets import read_spectra, write_spectra

    assert default_folds(spectra_file) == (None,)
    bare = write_spectra(tmp_path / "bare.h5", replace(read_spectra(spectra_file), holdout=None, group_by=""))
    assert default_folds(bare) == (0, 1, 2, 3, 4)
