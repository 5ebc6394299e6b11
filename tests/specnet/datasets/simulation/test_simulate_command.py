from __future__ import annotations

import argparse
import json

import pytest

from specnet import console
from specnet.commands import simulate
from specnet.datasets import read_spectra
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
