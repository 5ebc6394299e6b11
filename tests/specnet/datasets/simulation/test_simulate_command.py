from __future__ import annotations

import argparse
import json

import pytest

from specnet import console
from specnet.commands import simulate
from specnet.datasets import Holdout, read_spectra
from specnet.datasets.simulation import peak_regions
from specnet.errors import ConfigurationError, DatasetError


@pytest.fixture
def parse():
    parser = argparse.ArgumentParser()
    simulate.add_arguments(parser)
    return parser.parse_args


def test_the_command_writes_the_file_that_its_document_describes(tmp_path, parse, capsys):
    out = tmp_path / "minerals.h5"
    console.use_json(False)
    document = simulate.run(
        parse([str(out), "--preset", "easy", "--spectra-per-class", "20", "--classes", "5", "--points", "300"])
    )
    assert json.loads(json.dumps(document)) == document
    table = read_spectra(out)
    assert (table.n_spectra, table.n_points) == (document["n_spectra"], document["n_points"]) == (100, 300)
    assert list(table.class_names) == document["classes"]
    assert sum(document["holdout"].values()) == 100
    assert document["mixtures"] == 0
    assert "100 spectra x 300 points of 5 minerals" in capsys.readouterr().out


def test_options_override_the_preset(tmp_path, parse):
    out = str(tmp_path / "minerals.h5")
    document = simulate.run(
        parse([out, "--preset", "easy", "--spectra-per-class", "20", "--classes", "3", "--mixtures", "1"])
    )
    assert document["mixtures"] == 60


def test_the_hard_preset_is_written_with_its_unseen_instruments_and_its_bands(tmp_path, parse, capsys):
    out = tmp_path / "hard.h5"
    console.use_json(False)
    options = ["--classes", "6", "--siblings", "3", "--spectra-per-class", "20", "--points", "200"]
    document = simulate.run(
        parse([str(out), "--preset", "hard", *options, "--instruments", "3", "--test-instruments", "1"])
    )
    assert (document["instruments"], document["test_instruments"]) == (3, 1)
    assert document["classes"] == ["f0000-1", "f0000-2", "f0000-3", "f0001-1", "f0001-2", "f0001-3"]
    assert "of 6 random substances" in capsys.readouterr().out
    table = read_spectra(out)
    assert set(table.columns["instrument_id"][table.rows(Holdout.TEST)]) == {"simulated-3"}
    assert peak_regions(out).any(axis=1).all()


def test_spectra_for_pretraining_take_any_axis_and_share_of_broad_bands(tmp_path, parse):
    out = tmp_path / "random.h5"
    options = ["--classes", "4", "--points", "128", "--axis", "1000", "4000", "--broad", "1", "--seed", "7"]
    document = simulate.run(parse([str(out), "--preset", "random", *options]))
    assert document["instruments"] == document["n_spectra"] == 80
    table = read_spectra(out)
    assert (table.axis.values[0], table.axis.values[-1], table.n_points) == (1000.0, 4000.0, 128)
    assert table.bands.width.min() > 15


def test_options_of_random_substances_are_refused_for_minerals(tmp_path, parse):
    with pytest.raises(ConfigurationError, match="--siblings: minerals are as published"):
        simulate.run(parse([str(tmp_path / "minerals.h5"), "--preset", "demo", "--siblings", "3"]))


def test_mistakes_leave_no_file_behind(tmp_path, parse):
    out = tmp_path / "minerals.h5"
    with pytest.raises(ConfigurationError, match="n_points"):
        simulate.run(parse([str(out), "--points", "2"]))
    with pytest.raises(DatasetError, match="too few groups"):
        simulate.run(parse([str(out), "--spectra-per-class", "4", "--classes", "2"]))
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_named(tmp_path, parse):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match=r"file/minerals\.h5: cannot be written"):
        simulate.run(parse([str(tmp_path / "file" / "minerals.h5"), "--spectra-per-class", "20", "--classes", "3"]))
