"""The spool on disk: order, bounds, damage, several processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support_sinks import OTHER_SOURCE, record, records, sequences

from gateway.sinks.spool import FORMAT, Spool, open_spool
from specnet.errors import ConfigurationError

ROOT = Path(__file__).resolve().parents[3]
PLENTY = 1 << 30


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path / "spool-1.sqlite", PLENTY, PLENTY)
    yield spool
    spool.close()


def test_records_come_out_as_they_went_in_and_in_order(spool: Spool) -> None:
    put = [record(2), record(1, source=None), record(3, source=OTHER_SOURCE)]
    spool.put(put)
    assert spool.batch(10).records == put
    assert spool.batch(2).records == put[:2]


def test_what_was_looked_at_stays_until_it_is_removed(spool: Spool) -> None:
    spool.put(records(5))
    first = spool.batch(3)
    assert (spool.rows, sequences(first.records)) == (5, [0, 1, 2])
    spool.remove(first.up_to)
    assert (spool.rows, sequences(spool.batch(9).records)) == (2, [3, 4])
    spool.remove(spool.batch(9).up_to)
    assert (spool.rows, spool.size, spool.batch(9).records) == (0, 0, [])


def test_what_was_put_is_there_after_opening_again(tmp_path: Path, spool: Spool) -> None:
    spool.put(records(4))
    held = (spool.rows, spool.size)
    spool.close()
    again = Spool(spool.path, PLENTY, PLENTY)
    assert (again.rows, again.size) == held
    assert again.batch(9).records == records(4)
    again.close()


def test_at_the_bound_of_rows_the_oldest_go_and_are_counted(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "small.sqlite", 5, PLENTY)
    assert spool.put(records(4)) == 0
    assert spool.put(records(4, first=4)) == 3
    assert sequences(spool.batch(9).records) == [3, 4, 5, 6, 7]
    spool.close()


def test_at_the_bound_of_bytes_the_oldest_go(tmp_path: Path) -> None:
    measuring = Spool(tmp_path / "measuring.sqlite", PLENTY, PLENTY)
    measuring.put(records(10))
    bound = measuring.size
    measuring.close()
    spool = Spool(tmp_path / "small.sqlite", PLENTY, bound)
    spool.put(records(10))
    assert spool.put([record(10)]) in (1, 2)  # spectra are packed to different sizes
    assert spool.size <= bound
    assert sequences(spool.batch(99).records)[-1] == 10
    spool.close()


def test_a_record_larger_than_the_whole_spool_is_dropped_at_once(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "tiny.sqlite", PLENTY, 50)
    assert spool.put([record(1)]) == 1
    assert (spool.rows, spool.size) == (0, 0)
    spool.close()


def test_a_batch_that_is_being_written_is_not_dropped_for_newer_records(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "small.sqlite", 4, PLENTY)
    spool.put(records(4))
    batch = spool.batch(2)
    assert spool.put(records(2, first=4)) == 2
    spool.remove(batch.up_to)
    assert sequences(spool.batch(9).records) == [4, 5]
    # released, it may go
    spool.batch(1)
    spool.release()
    spool.put(records(3, first=6))
    assert sequences(spool.batch(9).records) == [5, 6, 7, 8]
    spool.close()


def test_the_age_is_that_of_the_oldest_record(spool: Spool) -> None:
    assert spool.age_s(1e9) == 0.0
    spool.put([record(1, time="2026-03-05T10:00:00.000+00:00"), record(2, time="2026-03-05T11:00:00.000+00:00")])
    eleven = 1_772_708_400.0
    assert spool.age_s(eleven) == 3600.0
    assert spool.age_s(0.0) == 0.0


def test_rows_that_are_no_records_are_counted_and_do_not_stop_the_others(spool: Spool) -> None:
    spool.put(records(1))
    spool._connection.execute("INSERT INTO records (time, source, body) VALUES (0, NULL, x'c1')")
    spool._connection.execute("INSERT INTO records (time, source, body) SELECT time, 'gone', body FROM records LIMIT 1")
    spool.put(records(1, first=1))
    batch = spool.batch(9)
    assert (sequences(batch.records), batch.undecodable) == ([0, 1], 2)


def test_a_damaged_file_is_set_aside_and_a_new_one_begun(tmp_path: Path) -> None:
    path = tmp_path / "spool-1.sqlite"
    path.write_bytes(b"this is no database" * 500)
    spool = Spool(path, PLENTY, PLENTY)
    spool.put(records(1))
    assert spool.rows == 1
    assert len(list(tmp_path.glob("spool-1.sqlite.damaged-*"))) == 1
    spool.close()


def test_a_file_of_a_newer_format_is_left_alone(tmp_path: Path, spool: Spool) -> None:
    spool._connection.execute(f"PRAGMA user_version = {FORMAT + 1}")
    spool.close()
    with pytest.raises(ConfigurationError, match=f"format {FORMAT + 1}, this release knows up to {FORMAT}"):
        Spool(spool.path, PLENTY, PLENTY)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match=r"spool-1\.sqlite cannot be used"):
        open_spool(tmp_path / "file" / "state", PLENTY, PLENTY)


def test_processes_of_one_folder_have_spools_of_their_own_and_inherit_from_the_dead(tmp_path: Path) -> None:
    first = open_spool(tmp_path, PLENTY, PLENTY)
    program = (
        "import sys, pathlib; sys.path.insert(0, 'tests/support')\n"
        "from support_sinks import records\nfrom gateway.sinks.spool import open_spool\n"
        "spool = open_spool(pathlib.Path(sys.argv[1]), 1 << 30, 1 << 30)\n"
        "spool.put(records(3, first=10)); print(spool.path.name, flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "spool-2.sqlite\n"
        third = open_spool(tmp_path, PLENTY, PLENTY)
        assert third.path.name == "spool-3.sqlite"
        assert third.rows == 0
        third.close()
        other.kill()
    first.put(records(2))
    first.close()
    heir = open_spool(tmp_path, PLENTY, PLENTY)
    assert heir.path.name == "spool-1.sqlite"
    assert sequences(heir.batch(9).records) == [0, 1, 10, 11, 12]
    assert [path.name for path in tmp_path.glob("*.sqlite")] == ["spool-1.sqlite"]
    heir.close()


def test_a_spool_that_cannot_be_taken_over_stays_and_is_no_reason_not_to_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = Spool(tmp_path / "spool-7.sqlite", PLENTY, PLENTY)
    other.put(records(2))
    other._connection.execute(f"PRAGMA user_version = {FORMAT + 1}")
    other.close()
    spool = open_spool(tmp_path, PLENTY, PLENTY)
    assert (spool.path.name, spool.rows) == ("spool-1.sqlite", 0)
    assert other.path.exists()
    assert "a spool cannot be taken over" in caplog.text
    spool.close()
