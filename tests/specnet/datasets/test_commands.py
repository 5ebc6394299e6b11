from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from specnet.commands import import_, inspect
from specnet.datasets import read_spectra, write_spectra
from specnet.errors import BundleError, DatasetError


def call(module: ModuleType, *words: object) -> dict[str, Any]:
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    document = module.run(parser.parse_args([str(word) for word in words]))
    return json.loads(json.dumps(document, allow_nan=False))


@pytest.fixture
def archive(tmp_path) -> Path:
    random = np.random.default_rng(0)
    intensity = random.random((40, 30), np.float32)
    intensity[0, 0] = np.nan
    path = tmp_path / "some-raman.npz"
    np.savez(path, X=intensity, y=np.arange(40) // 2 % 2, axis=np.arange(30.0), group=np.arange(40) // 2)
    return path


def test_import_writes_a_file_and_tells_what_it_assumed(archive, tmp_path, capsys) -> None:
    out = tmp_path / "new" / "out.h5"
    document = call(import_, archive, out, "--drop-nan", "--where", "label=1", "--crop", 3, 20)
    table = read_spectra(out)
    assert (document["n_spectra"], document["n_points"]) == (table.n_spectra, table.n_points) == (20, 18)
    assert document["notes"]
    assert table.provenance["command"] == (
        "specnet import some-raman.npz out.h5 --crop 3.0 20.0 --drop-nan --where label=1"
    )
    shown = capsys.readouterr()
    assert "20 spectra x 18 points" in shown.out
    assert all(note in shown.err for note in document["notes"])


def test_import_of_an_unknown_kind_is_refused(tmp_path) -> None:
    with pytest.raises(DatasetError, match=r"cannot import \.xlsx, expected \.npz"):
        call(import_, tmp_path / "book.xlsx", tmp_path / "out.h5")
    assert not (tmp_path / "out.h5").exists()


def test_import_of_a_table_and_inspection_with_plot(tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"s{n},{'ab'[n % 2]},{n % 7},{n % 5},{n % 3}\n" for n in range(20))
    Path("t.csv").write_text(f"sample_id,label,100,200,300\n{rows}")
    call(import_, "t.csv", "t.h5", "--quantity", "raman_shift", "--title", "Two of them")
    document = call(inspect, "t.h5", "--plot")
    assert (document["kind"], document["title"], document["n_spectra"]) == ("spectra", "Two of them", 20)
    assert document["plot"] == "t.png"
    assert Path("t.png").stat().st_size > 10_000
    shown = capsys.readouterr().out
    assert "20 sample_id" in shown
    assert "raman_shift 100 - 300 1/cm" in shown


def test_inspect_shows_classes_split_and_warnings(make_table, tmp_path, capsys) -> None:
    path = write_spectra(tmp_path / "spectra.h5", make_table(holdout=np.arange(120) % 3))
    document = call(inspect, path)
    assert "plot" not in document
    assert list(tmp_path.glob("*.png")) == []
    shown = capsys.readouterr().out
    for text in ("Carbonates  [Raman]", "dolomite", "calibration", "warning: 30 groups", "785.0", "CC0-1.0"):
        assert text in shown


def test_inspect_of_things_that_are_neither(tmp_path) -> None:
    (tmp_path / "notes.h5").write_text("nothing")
    with pytest.raises(DatasetError, match="not an HDF5 file"):
        call(inspect, tmp_path / "notes.h5")
    (tmp_path / "broken.specnet").write_text("nothing")
    with pytest.raises(BundleError):
        call(inspect, tmp_path / "broken.specnet")


def test_reading_and_importing_load_neither_torch_nor_scikit_learn() -> None:
    program = "import sys, specnet.commands.import_, specnet.commands.inspect; print(sorted(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "'h5py'" in shown
    assert "'torch'" not in shown
    assert "'sklearn'" not in shown
