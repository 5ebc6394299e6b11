"""What gateways have kept in a real PostgreSQL comes back as spectra."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support_broker import missing
from support_postgresql import PostgresqlServer
from support_sinks import AXIS, OTHER_SOURCE, SOURCE, counts, failed, record, records

from gateway.sinks.postgresql import PostgresqlSink
from specnet.cli import main
from specnet.datasets import import_answers, read_spectra
from specnet.datasets.importing import ImportOptions, postgresql
from specnet.errors import DatasetError

SECRET = "correct-horse"


@pytest.fixture(scope="module")
def cluster() -> Iterator[PostgresqlServer]:
    if importlib.util.find_spec("psycopg") is None:
        missing("psycopg IS NOT INSTALLED: results in PostgreSQL were not imported")
    with PostgresqlServer() as server:
        yield server


@pytest.fixture
def server(cluster: PostgresqlServer) -> PostgresqlServer:
    cluster.execute("DROP TABLE IF EXISTS results, sources")
    return cluster


def _dsn_file(folder: Path, dsn: str) -> Path:
    path = folder / "results.dsn"
    path.write_text(dsn + "\n")
    return path


def _keep(server: PostgresqlServer, *kept: object) -> None:
    sink = PostgresqlSink(server.dsn, 5)
    sink.write(list(kept))  # type: ignore[arg-type]
    sink.close()


def test_spectra_come_back_without_loss(
    server: PostgresqlServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "AT_ONCE", 5)  # fetched in several goes
    kept = [*records(12), record(20, known=False), record(21, source=None), failed(record(22))]
    _keep(server, *kept)
    table, notes = import_answers(_dsn_file(tmp_path, server.dsn))
    assert table.axis == AXIS
    order = np.argsort(table.columns["sequence"])
    assert table.columns["sequence"][order].tolist() == [*range(12), 20]
    assert (table.intensity[order] == np.stack([counts(n) for n in (*range(12), 20)])).all()
    assert sorted(table.columns["answered_at"]) == sorted(one.time for one in (*kept[:12], kept[12]))
    assert (table.labels, table.intensity_unit) == (None, "counts")
    assert any("--labels predicted" in note for note in notes)


def test_an_axis_is_chosen_among_several(server: PostgresqlServer, tmp_path: Path) -> None:
    _keep(server, *records(3), *records(2, first=10, source=OTHER_SOURCE))
    path = _dsn_file(tmp_path, server.dsn)
    with pytest.raises(DatasetError, match="spectra on 2 axes, choose one with --where"):
        import_answers(path)
    assert import_answers(path, ImportOptions(where=(f"axis_id={SOURCE.id}",)))[0].n_spectra == 3


def test_the_command_makes_a_file_that_says_nothing_of_the_password(
    server: PostgresqlServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _keep(server, *records(6))
    path = _dsn_file(tmp_path, server.dsn.replace("specnet@", f"specnet:{SECRET}@"))
    path = path.rename(tmp_path / "Results.DSN")
    out = tmp_path / "labelled.h5"
    assert main(["import", str(path), str(out), "--labels", "predicted"]) == 0
    table = read_spectra(out)
    assert table.class_names == ("calcite", "gypsum", "quartz")
    assert table.provenance["labels"].startswith("predicted by models")
    assert SECRET.encode() not in out.read_bytes()
    assert table.provenance["sha256"] != hashlib.sha256(path.read_bytes()).hexdigest()
    assert SECRET not in capsys.readouterr().out


def test_nothing_can_be_written(server: PostgresqlServer, tmp_path: Path) -> None:
    import psycopg

    _keep(server, *records(1))
    database = postgresql.ResultDatabase(_dsn_file(tmp_path, server.dsn))
    with database._connected() as connection, pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        connection.execute("DELETE FROM results")


def test_what_cannot_be_read_is_named_without_the_password(
    server: PostgresqlServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DatasetError, match=r"no results: relation .sources. does not exist"):
        import_answers(_dsn_file(tmp_path, server.dsn))
    nobody = f"postgresql://specnet:{SECRET}@127.0.0.1:1/postgres"
    with pytest.raises(DatasetError, match="cannot be read") as refused:
        import_answers(_dsn_file(tmp_path, nobody))
    assert SECRET not in str(refused.value)
    with pytest.raises(DatasetError, match="no connection string, expected a line such as") as refused:
        import_answers(_dsn_file(tmp_path, f"password={SECRET} and more"))
    assert SECRET not in str(refused.value)
    with pytest.raises(DatasetError, match="at most 4096"):
        import_answers(_dsn_file(tmp_path, "x" * 5000))
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(DatasetError, match=r"psycopg is needed, .*pip install 'specnet-edge\[postgresql\]'"):
        import_answers(_dsn_file(tmp_path, server.dsn))
