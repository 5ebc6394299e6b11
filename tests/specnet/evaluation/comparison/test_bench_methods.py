"""`specnet bench methods` with real trainings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from specnet.cli import main

pytestmark = pytest.mark.usefixtures("one_thread")
WORDS = ("--preset", "nano", "--epochs", "2", "--augmentation", "none", "--seeds", "0", "--folds", "none")


def test_methods_on_one_file(spectra_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["bench", "methods", str(spectra_file), "--out", str(tmp_path), *WORDS, "--methods", "joint,jei,sdn"]
    assert main([*words, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [row["method"] for row in document["rows"]] == ["joint", "jei", "sdn"]
    assert document["failed"] == 0
    assert all(Path(document[kind]).stat().st_size for kind in ("csv", "markdown", "png"))
    joint, jei, sdn = document["rows"]
    assert len(sdn["exits"]) == len(joint["exits"]) - 1
    # the same network, left by other rules
    assert joint["exits"] == jei["exits"]
    assert len(list((tmp_path / "runs").iterdir())) == 2
    assert main(words) == 0
    shown = capsys.readouterr()
    assert "3 of 3 cells were there already" in shown.err
    assert all(name in shown.out for name in ("joint", "jei", "sdn", "exits"))
