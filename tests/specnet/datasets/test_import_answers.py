"""What gateways have kept comes back as spectra, and answers become labels only when that is asked for."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec
import numpy as np
import pytest
from support_sinks import AXIS, OTHER_SOURCE, SOURCE, counts, failed, record, records

from gateway.sinks.hdf5 import Hdf5Sink
from gateway.sinks.sqlite import SqliteSink
from specnet.cli import main
from specnet.datasets import import_answers, read_spectra, write_spectra
from specnet.datasets.importing import ImportOptions
from specnet.errors import DatasetError
from specnet.spectra import Quantity
from specnet.wire.records import ResultRecord

MIXED = [*records(12), record(20, known=False), record(21, source=None), failed(record(22))]


def in_sqlite(folder: Path, kept: list[ResultRecord]) -> Path:
    path = folder / "results.sqlite"
    sink = SqliteSink(path, 1 << 30, lambda _: None)
    sink.write(kept)
    sink.close()
    return path


def in_day_file(folder: Path, kept: list[ResultRecord]) -> Path:
    sink = Hdf5Sink(folder / "days", 1 << 26, 0.0)
    sink.write(kept)
    sink.close()
    [path] = (folder / "days").glob("*.h5")
    return path


def in_lines(folder: Path, kept: list[ResultRecord]) -> Path:
    path = folder / "topic.jsonl"
    path.write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in kept))
    return path


@pytest.fixture(params=[in_sqlite, in_day_file, in_lines])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return request.param(tmp_path, MIXED)


def test_spectra_come_back_without_loss_and_without_labels(kept: Path) -> None:
    table, notes = import_answers(kept)
    assert table.axis == AXIS
    order = np.argsort(table.columns["sequence"])
    assert table.columns["sequence"][order].tolist() == [*range(12), 20]
    assert (table.intensity[order] == np.stack([counts(n) for n in (*range(12), 20)])).all()
    assert (table.labels, table.class_names) == (None, ())
    assert any("--labels predicted makes labels of it" in note for note in notes)
    assert table.intensity_unit == "counts"
    assert "predicted" not in table.provenance["labels"].partition(";")[0]


def test_answers_become_labels_when_asked_and_the_file_says_so(kept: Path) -> None:
    table, notes = import_answers(kept, labels="predicted")
    assert table.class_names == ("calcite", "gypsum", "quartz")
    named = np.array([*table.class_names, ""])[table.labels]
    assert named.tolist() == table.columns["predicted_label"].tolist()
    unknown = table.columns["sequence"] == 20
    assert table.labels[unknown].tolist() == [-1]
    assert (table.labels[~unknown] >= 0).all()
    assert table.provenance["labels"] == "predicted by models: 0123456789abcdef"
    assert any("not the truth" in note for note in notes)


def test_the_command_writes_a_file_that_can_be_trained_on_only_with_predicted_labels(
    kept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, labelled = tmp_path / "plain.h5", tmp_path / "labelled.h5"
    assert main(["import", str(kept), str(out)]) == 0
    assert main(["import", str(kept), str(labelled), "--labels", "predicted", "--where", "audit=false"]) == 0
    assert read_spectra(out).labels is None
    table = read_spectra(labelled)
    assert table.labels is not None
    assert "--labels predicted" in table.provenance["command"]
    assert set(table.columns["session_id"]) == {"lab/probe-1/7"}
    capsys.readouterr()
    assert main(["inspect", str(labelled)]) == 0
    assert "raman_shift 200 - 1500 1/cm" in capsys.readouterr().out


def test_two_axes_are_not_mixed(tmp_path: Path) -> None:
    path = in_sqlite(tmp_path, [*records(3), *records(2, first=10, source=OTHER_SOURCE)])
    with pytest.raises(
        DatasetError, match=rf"2 axes, choose one with --where: .*axis_id={OTHER_SOURCE.id}: wavelength"
    ):
        import_answers(path)
    table, _ = import_answers(path, ImportOptions(where=(f"axis_id={SOURCE.id}",)))
    assert table.n_spectra == 3
    other, _ = import_answers(path, ImportOptions(where=(f"axis_id={OTHER_SOURCE.id}",)))
    assert (other.n_spectra, other.axis.unit) == (2, "nm")


def test_a_topic_that_was_published_twice_gives_every_spectrum_once(tmp_path: Path) -> None:
    table, notes = import_answers(in_lines(tmp_path, [*records(4), *records(3)]))
    assert table.n_spectra == 4
    assert "3 records were repeated, and taken once" in notes


def test_options_that_contradict_the_file_are_refused(kept: Path) -> None:
    with pytest.raises(DatasetError, match="the axis is raman_shift in 1/cm, not wavelength in"):
        import_answers(kept, ImportOptions(quantity=Quantity.WAVELENGTH))


def test_results_without_raw_spectra_say_why_nothing_comes_of_them(tmp_path: Path) -> None:
    path = in_sqlite(tmp_path, records(5, source=None))
    with pytest.raises(DatasetError, match="no record has a raw spectrum and an answer"):
        import_answers(path)


def test_files_that_hold_no_results_are_named(tmp_path: Path, make_table) -> None:
    garbage = tmp_path / "garbage.sqlite"
    garbage.write_bytes(b"no database at all" * 100)
    foreign = tmp_path / "foreign.sqlite"
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE something (a)")
    connection.close()
    lines = tmp_path / "lines.jsonl"
    lines.write_text('{"time": 1}\n')
    ordinary = write_spectra(tmp_path / "ordinary.h5", make_table())
    for path, reason in (
        (garbage, "not a database of results"),
        (foreign, "not a database of results"),
        (lines, "line 1 is no result"),
        (ordinary, "a file of spectra already"),
        (tmp_path / "absent.sqlite", "no such file"),
    ):
        with pytest.raises(DatasetError, match=reason):
            import_answers(path)


def test_a_damaged_spectrum_in_a_database_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    path = in_sqlite(tmp_path, records(3))
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE results SET spectrum = x'0102ff' WHERE sequence = 1")
    connection.close()
    with pytest.raises(DatasetError, match=r"results\.sqlite: .*inflate"):
        import_answers(path)


def test_predicted_labels_are_only_for_results_of_a_gateway(tmp_path: Path, capsys) -> None:
    (tmp_path / "t.csv").write_text("label,1,2,3\na,1,2,3\n")
    assert main(["import", str(tmp_path / "t.csv"), str(tmp_path / "o.h5"), "--labels", "predicted"]) == 2
    assert "--labels predicted is for results of a gateway" in capsys.readouterr().err
