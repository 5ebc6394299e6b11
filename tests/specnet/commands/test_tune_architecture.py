"""``specnet tune architecture`` from options to files, and a network trained in the shape that it found."""

from __future__ import annotations

import csv
import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from support_cli import Called, call
from support_search import SPACE, write_space

from specnet.tuning.architecture.space import Architecture, read_architecture

pytestmark = pytest.mark.usefixtures("one_thread")
SHARED = ("--preset", "nano", "--preprocessing", "snv", "--epochs", 2, "--seed", 3)


@pytest.fixture(scope="module")
def searched(spectra_file: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Called]:
    folder = tmp_path_factory.mktemp("shapes")
    space = write_space(folder / "space.json")
    options = (*SHARED, "--space", space, "--trials", 3, "--max-macs", 1e6, "--json")
    return folder, call("tune", "architecture", spectra_file, "--out", folder, *options)


def lines(folder: Path) -> list[str]:
    return (folder / "trials.csv").read_text().splitlines()


def test_it_writes_what_it_says(searched: tuple[Path, Called]) -> None:
    folder, called = searched
    assert called.code == 0, called.err
    document = called.document
    best = read_architecture(folder / "architecture.json")
    assert best == Architecture.from_dict(document["shape"])
    assert best in SPACE
    found = json.loads((folder / "architecture.json").read_text())["found"]
    for name in ("trials", "nats", "accuracy", "macs", "us", "seconds", "seed", "data_sha256", "search"):
        assert found[name] == document[name]
    assert (found["trials"], found["seed"], found["search"]) == (3, 3, "tpe")
    assert found["macs"] <= 1e6
    assert found["us"] > 0
    rows = list(csv.DictReader(lines(folder)))
    assert len(rows) == 3
    assert min(float(row["nats"]) for row in rows if row["state"] == "complete") == found["nats"]
    assert " ".join(map(str, best.widths)) in {row["widths"] for row in rows}
    width, height = struct.unpack(">II", (folder / "search.png").read_bytes()[16:24])
    assert width > height > 500
    assert document["top"][0]["nats"] == found["nats"]
    assert "augmentation light for every shape" in called.err
    assert "nats, the best after 1 trials" in called.err


def test_it_goes_on_and_shows_a_table(searched: tuple[Path, Called], spectra_file: Path) -> None:
    folder, _ = searched
    before = lines(folder)
    options = (*SHARED, "--space", folder / "space.json", "--trials", 4, "--max-macs", 1e6)
    again = call("tune", "architecture", spectra_file, "--out", folder, *options)
    assert again.code == 0, again.err
    after = lines(folder)
    assert after[:4] == before
    assert len(after) == 5
    assert "4 shapes judged" in again.out
    assert f"--architecture {folder / 'architecture.json'}" in again.out


def test_a_network_is_trained_in_the_shape_that_was_found(
    searched: tuple[Path, Called], spectra_file: Path, tmp_path: Path
) -> None:
    folder, _ = searched
    architecture = folder / "architecture.json"
    options = ("--preset", "nano", "--preprocessing", "snv", "--augmentation", "light", "--epochs", 4, "--json")
    called = call("train", spectra_file, "--out", tmp_path / "run", "--architecture", architecture, *options)
    assert called.code == 0, called.err
    trained = json.loads((tmp_path / "run" / "run.json").read_text())
    assert tuple(trained["training"]["widths"]) == read_architecture(architecture).widths


@pytest.mark.parametrize(
    ("options", "texts"),
    [
        (("--search", "grid"), ("unknown search 'grid'", "tpe, random")),
        (("--trials", 0), ("--trials is 0", "more than 0")),
        (("--minutes", "nan"), ("--minutes is nan",)),
        (("--epochs", -1), ("--epochs is -1",)),
        (("--workers", 0), ("workers are 0, expected at least 1",)),
        (("--max-macs", 0), ("limit of 0.0 MACs", "positive")),
        (("--max-us", "inf"), ("limit of inf microseconds",)),
        (("--preset", "resnet1d"), ("'resnet1d' has no shape",)),
        (("--preset", "huge"), ("huge", "nano")),
        (("--preprocessing", "nothing"), ("unknown preprocessing 'nothing'",)),
        (("--space", "missing.json"), ("cannot read space missing.json",)),
        (("--storage", "nosuch://host/base"), ("storage nosuch://host/base cannot be used",)),
        (("--fold", 9), ("fold is 9",)),
    ],
)
def test_mistakes_are_one_line(
    spectra_file: Path, tmp_path: Path, options: tuple[object, ...], texts: tuple[str, ...]
) -> None:
    first = ("--preprocessing", "snv") if "--preprocessing" not in options else ()
    called = call("tune", "architecture", spectra_file, "--out", tmp_path / "out", *first, *options)
    complaint = called.err.splitlines()[-1]
    assert called.code == 2, called.err
    assert complaint.startswith("specnet: ")
    assert called.out == ""
    for text in texts:
        assert text in complaint


def test_a_space_that_the_axis_does_not_bear_is_told_before_the_search(spectra_file: Path, tmp_path: Path) -> None:
    space = tmp_path / "space.json"
    space.write_text(json.dumps({"stages": [9], "widths": [[4]] * 9}))
    called = call("tune", "architecture", spectra_file, "--out", tmp_path / "out", *SHARED, "--space", space)
    assert called.code == 2
    assert "300 points bear" in called.err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_another_limit_in_the_same_folder_is_refused(searched: tuple[Path, Called], spectra_file: Path) -> None:
    folder, _ = searched
    options = (*SHARED, "--space", folder / "space.json", "--max-macs", 2e6)
    called = call("tune", "architecture", spectra_file, "--out", folder, *options)
    assert called.code == 2
    assert 'has limit {"macs": 1000000.0}, this search {"macs": 2000000.0}' in called.err.splitlines()[-1]


def test_without_optuna_one_line_names_the_extra(spectra_file: Path, tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['optuna'] = None; from specnet.cli import main;"
        f"sys.exit(main(['tune', 'architecture', {str(spectra_file)!r}, '--out', {str(tmp_path / 'out')!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "specnet: --search tpe needs optuna, which is not installed; pip install 'specnet-edge[tune]'"
    ]
