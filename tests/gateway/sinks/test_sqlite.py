"""Results in an SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from support_sinks import OTHER_SOURCE, SOURCE, counts, failed, record, records, rows

from gateway.sinks.sqlite import SqliteSink
from specnet.codec import unpack_spectrum
from specnet.errors import SinkDownError, SinkRefusedError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "results.sqlite"


@pytest.fixture
def sink(path: Path) -> Iterator[SqliteSink]:
    sink = SqliteSink(path, 1 << 30, lambda _: None)
    yield sink
    sink.close()


def test_spectra_and_their_axes_are_kept_without_loss(sink: SqliteSink, path: Path) -> None:
    sink.write([record(1), record(2, source=OTHER_SOURCE), record(3, source=None)])
    found = rows(path)
    assert [row["source"] for row in found] == [SOURCE.id, OTHER_SOURCE.id, None]
    assert (unpack_spectrum(found[0]["spectrum"], len(SOURCE.values)) == counts(1)).all()
    with sqlite3.connect(path) as connection:
        sources = connection.execute("SELECT id, quantity, unit, intensity_unit FROM sources ORDER BY quantity")
        assert sources.fetchall() == [
            (SOURCE.id, "raman_shift", "1/cm", "counts"),
            (OTHER_SOURCE.id, "wavelength", "nm", "counts"),
        ]


def test_a_repeated_record_makes_no_second_row(sink: SqliteSink, path: Path) -> None:
    sink.write(records(5))
    later = "2026-03-06T08:00:00.000+00:00"  # as a gateway says that has forgotten what it answered
    sink.write([record(3, gateway="another", probability=0.1, time=later), record(7)])
    assert [row["sequence"] for row in rows(path)] == [0, 1, 2, 3, 4, 7]
    assert rows(path)[3]["gateway"] == "gateway-1"


def test_another_spectrum_under_an_old_number_is_another_row(sink: SqliteSink, path: Path) -> None:
    sink.write([record(3), record(3, checksum=99)])
    assert sorted(row["checksum"] for row in rows(path)) == [99, 1003]


def test_an_answer_replaces_an_error_and_never_the_other_way(sink: SqliteSink, path: Path) -> None:
    sink.write([failed(record(1))])
    sink.write([record(1)])
    sink.write([failed(record(1))])
    [row] = rows(path)
    assert (row["error"], row["class_name"]) == ("", record(1).class_name)


def test_beyond_its_size_the_oldest_results_go(path: Path) -> None:
    expired: list[int] = []
    sink = SqliteSink(path, 1 << 20, expired.append)
    for first in range(0, 8000, 200):
        sink.write(records(200, first, source=None))
    sink.close()
    kept = [row["sequence"] for row in rows(path)]
    assert kept == list(range(kept[0], 8000))
    assert len(kept) + sum(expired) == 8000
    assert path.stat().st_size < 1.2 * (1 << 20)


def test_a_file_that_was_removed_is_made_again(sink: SqliteSink, path: Path) -> None:
    sink.write(records(1))
    sink.close()
    path.unlink()
    sink.write(records(2))
    assert len(rows(path)) == 2


def test_a_file_that_is_no_database_is_down_and_is_left_alone(sink: SqliteSink, path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"something else" * 1000)
    with pytest.raises(SinkDownError, match="not a database"):
        sink.write(records(1))
    assert path.read_bytes() == b"something else" * 1000


def test_a_disk_without_room_is_down_and_the_same_records_can_be_written_later(path: Path) -> None:
    sink = SqliteSink(path, 1 << 30, lambda _: None)
    sink.write(records(1))
    assert sink._connection is not None
    sink._connection.execute("PRAGMA max_page_count = 12")  # SQLITE_FULL, as on a full disk
    with pytest.raises(SinkDownError, match="full"):
        sink.write(records(400, first=1))
    sink.write(records(400, first=1))
    assert len(rows(path)) == 401
    sink.close()


def test_what_sqlite_cannot_hold_is_refused_and_nothing_of_the_batch_is_kept(sink: SqliteSink, path: Path) -> None:
    with pytest.raises(SinkRefusedError):
        sink.write([record(1), record(2, macs=1 << 70)])
    assert rows(path) == []
    sink.write([record(1)])
    assert len(rows(path)) == 1
