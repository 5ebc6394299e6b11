"""``specnet bench architecture``: equal time for searches, and whole trainings of what they found."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from support_cli import Called, call
from support_search import write_space

from specnet.tuning.architecture.space import read_architecture
from specnet.tuning.architecture.storage import JOURNAL

pytestmark = pytest.mark.usefixtures("one_thread")
SECONDS = 4
MEASURES = ("accuracy", "nats", "operating_accuracy", "mean_macs", "macs", "us", "search_seconds", "shapes")


@pytest.fixture(scope="module")
def options(spectra_file: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[object, ...]:
    space = write_space(tmp_path_factory.mktemp("space") / "space.json")
    fast = ("--preset", "nano", "--preprocessing", "snv", "--augmentation", "light", "--epochs", 2)
    return (spectra_file, *fast, "--space", space, "--json")


@pytest.fixture(scope="module")
def compared(options: tuple[object, ...], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Called]:
    out = tmp_path_factory.mktemp("compared")
    words = ("--out", out, "--searches", "random,tpe", "--seconds", SECONDS, "--seeds", "0,1")
    return out, call("bench", "architecture", *options, *words)


def outcomes(folder: Path) -> list[dict[str, Any]]:
    document: dict[str, list[dict[str, Any]]] = json.loads((folder / "architecture.json").read_text())
    return document["outcomes"]


def test_every_search_has_the_same_time_and_every_shape_a_whole_training(compared: tuple[Path, Called]) -> None:
    out, called = compared
    assert called.code == 0, called.err
    document = called.document
    assert document["failures"] == []
    found = outcomes(out)
    assert [(one["method"], one["seed"]) for one in found] == [
        (method, seed) for seed in (0, 1) for method in ("preset", "random", "tpe")
    ]
    limit = next(one["macs"] for one in found if one["method"] == "preset")
    for one in found:
        assert 0 <= one["operating_accuracy"] <= 1
        assert one["us"] > 0
        assert 0 < one["mean_macs"] <= one["macs"] <= limit
        if one["method"] != "preset":
            assert one["search_seconds"] >= SECONDS
            assert one["shapes"] >= 1
            folder = out / f"{one['method']}-seed{one['seed']}"
            (run,) = (out / "runs").glob(f"{folder.name}-*/run.json")
            trained = json.loads(run.read_text())["training"]
            assert tuple(trained["widths"]) == read_architecture(folder / "architecture.json").widths
            assert trained["adaptivity"] == "gate"


def test_tables_have_means_over_seeds(compared: tuple[Path, Called]) -> None:
    out, called = compared
    found, summary = outcomes(out), called.document["summary"]
    rows = {row["method"]: row for row in csv.DictReader((out / "architecture.csv").read_text().splitlines())}
    assert list(rows) == ["preset", "random", "tpe"] == list(summary)
    for method, row in rows.items():
        for name in MEASURES:
            values = [one[name] for one in found if one["method"] == method]
            assert float(row[f"{name}_mean"]) == pytest.approx(sum(values) / 2)
            assert summary[method][name]["n"] == 2
            assert float(row[f"{name}_sd"]) == pytest.approx(abs(values[0] - values[1]) / 2**0.5)
    assert (out / "architecture.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_there_is_not_done_again(compared: tuple[Path, Called], options: tuple[object, ...]) -> None:
    out, _ = compared
    before = outcomes(out)
    journals = {path: path.read_bytes() for path in out.glob(f"*/{JOURNAL}")}
    assert len(journals) == 4
    words = ("--out", out, "--searches", "random,tpe", "--seconds", SECONDS, "--seeds", "0,1")
    again = call("bench", "architecture", *options, *words)
    assert again.code == 0, again.err
    assert {path: path.read_bytes() for path in journals} == journals
    assert [{**one, "us": 0} for one in outcomes(out)] == [{**one, "us": 0} for one in before]


def test_a_search_that_finds_nothing_in_its_time_is_told(options: tuple[object, ...], tmp_path: Path) -> None:
    words = ("--out", tmp_path, "--searches", "random,supernet", "--seconds", 0.001, "--seeds", 0)
    called = call("bench", "architecture", *options, *words)
    assert called.code == 0, called.err
    failures = called.document["failures"]
    assert [(one["method"], one["seed"]) for one in failures] == [("random", 0), ("supernet", 0)]
    assert all("no shape was trained to the end" in one["error"] for one in failures)
    assert list(called.document["summary"]) == ["preset"]


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (("--searches", "grid"), "unknown search 'grid'"),
        (("--seconds", 0), "--seconds is 0.0, expected more than 0"),
        (("--seeds", "a"), "seeds"),
    ],
)
def test_mistakes(options: tuple[object, ...], tmp_path: Path, given: tuple[object, ...], text: str) -> None:
    called = call("bench", "architecture", *options, "--out", tmp_path, *given)
    assert called.code == 2
    assert text in called.err.splitlines()[-1]
