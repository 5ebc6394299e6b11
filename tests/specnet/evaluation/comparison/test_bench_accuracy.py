"""``specnet bench accuracy`` as a user runs it, killed and continued."""

from __future__ import annotations

import csv
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support_cli import call

from specnet.datasets import read_spectra, write_spectra
from specnet.spectra import SpectralAxis

METHODS = "pls_da,ridge,specnet"
WORDS = ("--methods", METHODS, "--seeds", "0,1", "--preset", "nano", "--epochs", "2", "--json")
TIMED = "us"


def bench(data: Path, out: Path, *words: object):
    return call("bench", "accuracy", data, "--out", out, *(words or WORDS))


def measured(document: dict) -> list[dict]:
    """Rows without what differs from one measurement to the next."""
    return [{key: value for key, value in row.items() if key != TIMED} for row in document["rows"]]


@pytest.fixture(scope="module")
def whole(spectra_file, tmp_path_factory):
    """A comparison that nothing interrupted."""
    out = tmp_path_factory.mktemp("whole")
    called = bench(spectra_file, out)
    assert called.code == 0, called.err
    return out, called


def test_the_document_has_a_row_for_each_method_and_way_of_using_it(whole):
    out, called = whole
    document = called.document
    assert document["bench"] == "accuracy"
    labels = [row["label"] for row in document["rows"]]
    assert labels[:2] == ["pls_da", "ridge"]
    assert {"specnet, operating point", "specnet, last exit"} <= set(labels)
    assert (document["n_cells"], document["reused"], document["failed"]) == (6, 0, 0)
    assert document["best_simple"] in ("pls_da", "ridge")
    for row in document["rows"]:
        assert row["accuracy"]["n"] == 2
        assert 0 <= row["accuracy"]["mean"] <= 1
        assert row["macs"]["mean"] > 0
        assert row["us"]["mean"] > 0
        assert row["runtime"] == "ONNX Runtime"
    assert "a linear model" in document["worth"]["sentence"]
    assert "[6/6]" in called.err
    assert len(list((out / "cells").glob("*.json"))) == 6


def test_a_network_cell_keeps_every_exit_and_budget(whole):
    out, _ = whole
    cell = json.loads((out / "cells" / "specnet-seed0.json").read_text())
    report = cell["detail"]["report"]
    assert len(report["exits"]) == len(cell["detail"]["cumulative_us"])
    assert {"accuracy", "combined_accuracy", "macs"} <= set(report["exits"][0])
    assert report["within_budget"]
    assert len(cell["curve"]) == len(report["within_budget"])
    assert (out / cell["detail"]["run"] / "evaluation.json").exists()


def test_json_csv_and_stdout_agree_and_the_figure_is_there(whole):
    out, called = whole
    document = called.document
    assert json.loads((out / "accuracy.json").read_text())["rows"] == document["rows"]
    with (out / "accuracy.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == len(document["rows"])
    for line, row in zip(lines, document["rows"], strict=True):
        assert (line["method"], line["variant"], int(line["n"])) == (row["method"], row["variant"], 2)
        for name in ("accuracy", "balanced_accuracy", "macs", "us", "difference"):
            for part in ("mean", "sd", "se"):
                assert float(line[f"{name}_{part}"]) == row[name][part]
    png = (out / "accuracy.png").read_bytes()
    assert png.startswith(b"\x89PNG")
    assert len(png) > 20_000


def test_asked_again_nothing_is_run_again(spectra_file, whole):
    out, called = whole
    before = {path: path.stat().st_mtime_ns for path in (out / "cells").iterdir()}
    again = bench(spectra_file, out)
    assert again.code == 0
    assert again.document["reused"] == 6
    assert again.document["rows"] == called.document["rows"]
    assert {path: path.stat().st_mtime_ns for path in (out / "cells").iterdir()} == before


def children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def wait_until(condition, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_killed_in_the_middle_and_run_again_it_makes_the_same_table(spectra_file, whole, tmp_path):
    _, called = whole
    words = [sys.executable, "-m", "specnet", "bench", "accuracy", str(spectra_file), "--out", str(tmp_path), *WORDS]
    cells = tmp_path / "cells"
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: process.poll() is not None or len(list(cells.glob("*.json"))) >= 2)
        workers = children(process.pid)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    wait_until(lambda: not any(alive(pid) for pid in workers))  # they leave with their parent
    finished = len(list(cells.glob("*.json")))
    assert 2 <= finished < 6
    again = bench(spectra_file, tmp_path)
    assert again.code == 0, again.err
    assert again.document["reused"] == finished
    assert measured(again.document) == measured(called.document)


@pytest.fixture
def short_file(spectra_file, tmp_path):
    """Spectra of 8 points: too short for kernels of 9, long enough for a line."""
    table = read_spectra(spectra_file)
    axis = SpectralAxis(table.axis.values[::40], table.axis.quantity)
    return write_spectra(tmp_path / "short.h5", replace(table, intensity=table.intensity[:, ::40], axis=axis))


def test_a_method_that_fails_is_in_the_table_and_the_others_go_on(short_file, tmp_path):
    out = tmp_path / "out"
    called = bench(short_file, out, "--methods", "minirocket,ridge", "--seeds", "0", "--json")
    assert called.code == 0, called.err
    minirocket, ridge = called.document["rows"]
    assert (minirocket["accuracy"], minirocket["errors"]) == (
        None,
        {"spectra have 8 points, kernels of 9 need at least as many": 1},
    )
    assert ridge["accuracy"]["mean"] > 0.2
    assert called.document["failed"] == 1
    assert "minirocket-seed0: failed: spectra have 8 points" in called.err
    assert "spectra have 8 points" in (out / "accuracy.csv").read_text()
    assert (out / "accuracy.png").exists()


def test_when_everything_fails_so_does_the_command(spectra_file, tmp_path):
    words = ("--methods", "specnet", "--seeds", "0", "--preset", "huge", "--epochs", "1", "--json")
    called = bench(spectra_file, tmp_path / "out", *words)
    assert called.code == 1
    assert called.document["failed"] == called.document["n_cells"] == 1
    assert called.document["best_simple"] == ""


def test_two_comparisons_in_one_folder_are_refused(spectra_file, tmp_path):
    with (tmp_path / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        called = bench(spectra_file, tmp_path)
    assert called.code == 2
    assert "another comparison is running" in called.err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--methods", "magic"), "unknown methods magic"),
        (("--seeds", "0,x"), "seeds are numbers with commas between them such as 0,1,2, got '0,x'"),
        (("--folds", "all"), "folds are numbers with commas"),
        (("--folds", "7"), "fold is 7, expected from 0 to 4"),
        (("--methods", "ridge", "--jobs", "0"), "jobs is 0, expected at least 1"),
        (("--epochs", "-1"), "epochs is -1"),
    ],
)
def test_mistakes_are_told_in_one_line(spectra_file, tmp_path, words, text):
    called = bench(spectra_file, tmp_path, *words)
    assert called.code == 2
    assert text in called.err.splitlines()[-1]
    assert not np.any([path.suffix == ".json" for path in tmp_path.iterdir()])


def test_a_plain_early_exit_network_is_judged_without_exit_0_and_a_static_one_without_any_but_the_last(
    spectra_file, tmp_path
):
    words = ("--methods", "pooled,static", "--seeds", "0", "--preset", "nano", "--epochs", "1")
    called = bench(spectra_file, tmp_path / "out", *words, "--augmentation", "none", "--json")
    assert called.code == 0, called.err
    pooled, static = (json.loads(path.read_text()) for path in sorted((tmp_path / "out" / "cells").glob("*.json")))
    exits = pooled["detail"]["report"]["exits"]
    assert len(exits) == len(pooled["detail"]["cumulative_us"]) == 3  # of the four that the network has
    assert "worth" not in pooled["rows"][0]
    assert [row["variant"] for row in static["rows"]] == ["last exit"]
    # the whole network from one graph: the heads on the way and exit 0 are neither counted nor timed
    assert static["rows"][0]["macs"] < static["detail"]["report"]["static_macs"]
