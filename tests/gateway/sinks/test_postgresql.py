"""Results in a real PostgreSQL, which is killed meanwhile."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from support_broker import missing, wait_until
from support_postgresql import PostgresqlServer
from support_sinks import OTHER_SOURCE, SOURCE, counts, failed, record, records, sample

from gateway.sinks.postgresql import PostgresqlSink
from gateway.sinks.registry import create_recorder
from gateway.sinks.settings import PostgresqlSettings, SinkSettings
from specnet.codec import unpack_spectrum
from specnet.errors import ConfigurationError, SinkDownError, SinkRefusedError
from specnet.mqtt import BrokerSettings

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module", autouse=True)
def _psycopg() -> None:
    if importlib.util.find_spec("psycopg") is None:
        missing("psycopg IS NOT INSTALLED: the sink `postgresql` was not tested")


@pytest.fixture(scope="module")
def cluster() -> Iterator[PostgresqlServer]:
    with PostgresqlServer() as server:
        yield server


@pytest.fixture
def server(cluster: PostgresqlServer) -> PostgresqlServer:
    cluster.execute("DROP TABLE IF EXISTS results, sources")
    return cluster


@pytest.fixture
def sink(server: PostgresqlServer) -> Iterator[PostgresqlSink]:
    sink = PostgresqlSink(server.dsn, 5)
    yield sink
    sink.close()


def test_records_and_axes_are_kept_without_loss(sink: PostgresqlSink, server: PostgresqlServer) -> None:
    sink.write([record(1), record(2, source=OTHER_SOURCE), failed(record(3, source=None)), record(4, known=False)])
    found = server.rows("SELECT sequence, class_name, probability, known, error <> '', source FROM results ORDER BY 1")
    assert found == [
        (1, "calcite", 0.75, True, False, SOURCE.id),
        (2, "gypsum", 0.75, True, False, OTHER_SOURCE.id),
        (3, "", None, True, True, None),
        (4, "calcite", 0.75, False, False, SOURCE.id),
    ]
    [(spectrum, moment)] = server.rows("SELECT spectrum, time FROM results WHERE sequence = 1")
    assert (unpack_spectrum(spectrum, len(SOURCE.values)) == counts(1)).all()
    assert moment.isoformat().startswith("2026-03-05T10:20:30.4")
    quantities = server.rows("SELECT quantity, unit, json_array_length(axis_values::json) FROM sources ORDER BY 1")
    assert quantities == [("raman_shift", "1/cm", 40), ("wavelength", "nm", 25)]


def test_a_repeated_record_makes_no_second_row_and_an_answer_replaces_an_error(
    sink: PostgresqlSink, server: PostgresqlServer
) -> None:
    sink.write([*records(5), failed(record(5))])
    sink.write([*records(7, first=3, gateway="another", time="2026-03-06T08:00:00.000+00:00"), failed(record(0))])
    found = server.rows("SELECT sequence, gateway, error FROM results ORDER BY 1")
    assert found == [(n, "gateway-1" if n < 5 else "another", "") for n in range(10)]


def test_a_text_that_postgresql_cannot_hold_is_refused_and_the_next_batch_is_kept(
    sink: PostgresqlSink, server: PostgresqlServer
) -> None:
    with pytest.raises(SinkRefusedError, match="NUL"):
        sink.write([record(1), record(2, class_name="quartz\0")])
    sink.write([record(1)])
    assert server.rows("SELECT sequence FROM results") == [(1,)]


def test_missing_rights_are_down_not_lost(sink: PostgresqlSink, server: PostgresqlServer) -> None:
    sink.write([record(1)])
    server.execute("ALTER TABLE results RENAME TO elsewhere")
    server.execute("CREATE VIEW results AS SELECT 1 AS one")
    with pytest.raises(SinkDownError):
        sink.write([record(2)])
    server.execute("DROP VIEW results")
    server.execute("ALTER TABLE elsewhere RENAME TO results")
    sink.write([record(2)])
    assert server.rows("SELECT count(*) FROM results") == [(2,)]


def test_a_killed_server_loses_and_doubles_nothing(tmp_path: Path, server: PostgresqlServer) -> None:
    registry = CollectorRegistry()
    settings = SinkSettings(
        kind="postgresql",
        batch=20,
        retry_min_s=0.01,
        retry_max_s=0.05,
        postgresql=PostgresqlSettings(dsn=server.dsn, timeout_s=5),
    )
    recorder = create_recorder(settings, tmp_path, BrokerSettings(), registry)
    spool = recorder._spool
    recorder.start()
    failures = 0.0
    for outage in range(2):
        spool.put(records(400, first=400 * outage))
        wait_until(lambda: server.rows("SELECT to_regclass('results') IS NOT NULL") == [(True,)], "a table")
        wait_until(lambda: server.rows("SELECT count(*) FROM results")[0][0] > 400 * outage, "some are kept")  # noqa: B023
        server.kill()
        spool.put(records(100, first=10_000 + 100 * outage))
        wait_until(lambda: sample(registry, "sink_failures_total", sink="postgresql") > failures, "it is noticed")  # noqa: B023
        assert spool.rows >= 100
        server.start()
        wait_until(lambda: spool.rows == 0, "everything is written")
        failures = sample(registry, "sink_failures_total", sink="postgresql")
    recorder.stop(5)
    wanted = [(n,) for n in range(800)] + [(n,) for n in range(10_000, 10_200)]
    assert server.rows("SELECT sequence FROM results ORDER BY 1") == wanted


def test_an_absent_server_is_down() -> None:
    sink = PostgresqlSink("postgresql://nobody@127.0.0.1:9/nothing", 2)
    with pytest.raises(SinkDownError, match=r"PostgreSQL cannot be written: .*refused"):
        sink.write([record(1)])
    sink.close()


def test_what_is_no_connection_string_is_said_without_showing_it() -> None:
    with pytest.raises(ConfigurationError, match="no connection string") as caught:
        PostgresqlSink("host=a geheim", 5)
    assert "geheim" not in str(caught.value)


def test_without_psycopg_the_sink_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "psycopg.py").write_text("raise ImportError('no pq wrapper available')")
    program = (
        "from gateway.sinks.postgresql import PostgresqlSink\nfrom specnet.errors import ConfigurationError\n"
        "try:\n    PostgresqlSink('postgresql://a@b/c', 5)\nexcept ConfigurationError as error:\n    print(error)"
    )
    environment = {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    assert "pip install 'specnet-edge[gateway,postgresql]'" in done.stdout
