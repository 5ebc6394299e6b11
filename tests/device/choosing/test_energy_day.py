"""The day of the energy budget goes on after a restart, whatever the clocks say."""

from __future__ import annotations

import math
import sqlite3
from pathlib import Path

import pytest
from support_journal import DAY_S, FakeTime, journal_at, record_and_answer

from device.choosing.energy import EnergyMeter
from device.choosing.energy_day import BEGAN, MOST_UJ, SPENT, UNREADABLE, EnergyDay, keep_day, recall_day
from device.journal.history import History
from device.journal.journal import KEPT

BUDGET_J = 10.0


def spend(path: Path, time: FakeTime, millijoules: float, seconds: float = 0.0) -> tuple[float, float]:
    """A start that spends something; returns the joules and seconds that were left when it began."""
    journal = journal_at(path, time)
    day = recall_day(journal)
    meter = EnergyMeter(BUDGET_J, None, None, day)
    left_j, left_s = meter.left(journal.age())
    time.pass_by(seconds)
    meter.left(journal.age())
    keep_day(journal, EnergyDay(meter.day.began, meter.day.spent_mj + millijoules))
    journal.close()
    assert left_j is not None
    return left_j, left_s


def test_what_was_spent_counts_until_the_day_is_over(tmp_path: Path) -> None:
    path, time = tmp_path / "j.sqlite", FakeTime()
    assert spend(path, time, 1000.0, 3600) == (10.0, DAY_S)
    assert spend(path, time, 2000.0, 60) == (9.0, DAY_S - 3600)
    # a pause counts, also that between two starts of the machine
    time.reboot(time.wall + 7200)
    assert spend(path, time, 3000.0, 0) == (7.0, DAY_S - 10_860)
    time.reboot(time.wall + DAY_S - 10_860 + 5)
    assert spend(path, time, 0.0, 0) == (10.0, DAY_S - 5)


def test_a_node_that_starts_again_and_again_has_one_budget(tmp_path: Path) -> None:
    path, time = tmp_path / "j.sqlite", FakeTime()
    found = []
    for _ in range(12):
        found.append(spend(path, time, 400.0, 7200)[0])
        time.reboot(time.wall)
    assert found == pytest.approx([10.0 - 0.4 * n for n in range(12)])
    # the last of it belongs to the day that has begun at that moment
    assert spend(path, time, 0.0) == (9.6, DAY_S)


@pytest.mark.parametrize("wall", [0.0, 1.0e9, 1.8e9 - 1])
def test_a_clock_behind_the_record_brings_no_new_budget(tmp_path: Path, wall: float) -> None:
    path, time = tmp_path / "j.sqlite", FakeTime()
    spend(path, time, 4000.0, 3600)
    time.reboot(wall)
    assert spend(path, time, 4000.0, 3600) == (6.0, DAY_S - 3600)
    time.reboot(wall)
    # once more behind what was noted
    assert spend(path, time, 0.0, DAY_S - 7200) == (2.0, DAY_S - 7200)
    assert spend(path, time, 0.0) == (10.0, DAY_S)


def test_a_clock_that_jumps_while_the_node_runs_changes_nothing(tmp_path: Path) -> None:
    path, time = tmp_path / "j.sqlite", FakeTime()
    journal = journal_at(path, time)
    meter = EnergyMeter(BUDGET_J, None, None, recall_day(journal))
    for jump_s in (10 * DAY_S, -20 * DAY_S, 365 * DAY_S):
        time.wall += jump_s
        time.pass_by(100)
        meter.left(journal.age())
    keep_day(journal, EnergyDay(meter.day.began, 500.0))
    journal.close()
    assert spend(path, time, 0.0) == (9.5, DAY_S - 300)


def test_a_clock_that_has_jumped_ahead_between_two_starts_brings_one_budget(tmp_path: Path) -> None:
    path, time = tmp_path / "j.sqlite", FakeTime()
    spend(path, time, 4000.0, 3600)
    right = time.wall
    time.reboot(right + 3650 * DAY_S)
    assert spend(path, time, 4000.0) == (10.0, DAY_S - 3600)
    for _ in range(3):
        time.reboot(right)
        assert spend(path, time, 0.0) == (6.0, DAY_S - 3600)


def test_what_a_killed_process_has_kept_by_its_last_flush_counts(tmp_path: Path) -> None:
    path, time = tmp_path / "j.sqlite", FakeTime()
    journal = journal_at(path, time, flush_spectra=10)
    keep_day(journal, EnergyDay(0.0, 1000.0))
    assert journal.kept(BEGAN, SPENT) == {}, "nothing is written for it alone"
    assert not journal.wants_flush
    record_and_answer(journal, *range(10))
    assert journal.kept(BEGAN, SPENT) == {BEGAN: 0, SPENT: 1_000_000}
    keep_day(journal, EnergyDay(0.0, 5000.0))
    # as a kill leaves it: nothing is flushed any more
    journal.database.close()
    time.pass_by(60)
    assert spend(path, time, 0.0) == (9.0, DAY_S - 60)


@pytest.mark.parametrize(
    ("name", "value"),
    [(SPENT, "much"), (SPENT, -1), (SPENT, 1.5), (SPENT, b"\xff"), (BEGAN, "x" * 100), (BEGAN, -5), (BEGAN, 1 << 50)],
)
def test_a_record_that_cannot_be_true_is_said_counted_and_ignored(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, value: object
) -> None:
    path, time = tmp_path / "j.sqlite", FakeTime()
    spend(path, time, 4000.0, 100)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE counters SET value = ? WHERE name = ?", (value, KEPT + name))
    connection.close()
    assert spend(path, time, 1000.0) == (10.0, DAY_S)
    [message] = [record.message for record in caplog.records if record.name.startswith("device.choosing")]
    assert message.startswith("the day of the energy budget cannot be read (it began at ")
    assert len(message) < 250
    history = History(path)
    assert history.accounts()[UNREADABLE] == 1
    assert not any(key.startswith(KEPT) for key in history.accounts())
    history.close()
    assert spend(path, time, 0.0) == (9.0, DAY_S), "the new one is in its place"


def test_half_a_record_is_none(tmp_path: Path) -> None:
    path, time = tmp_path / "j.sqlite", FakeTime()
    spend(path, time, 4000.0, 100)
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM counters WHERE name = ?", (KEPT + SPENT,))
    connection.close()
    assert spend(path, time, 0.0) == (10.0, DAY_S)


def test_a_table_that_cannot_be_read_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    journal = journal_at(tmp_path / "j.sqlite", FakeTime())
    journal.database.execute("DROP TABLE counters")
    assert recall_day(journal) == EnergyDay(0.0, 0.0)
    assert journal.counters[UNREADABLE] == 1
    assert "no such table" in caplog.text
    keep_day(journal, EnergyDay(0.0, 1.0))
    journal.flush()
    assert journal.failing
    journal.close()


def test_a_full_disk_keeps_the_old_record_until_there_is_space(tmp_path: Path) -> None:
    path, time = tmp_path / "j.sqlite", FakeTime()
    spend(path, time, 1000.0)
    journal = journal_at(path, time)
    # what a write to a disk without space, or mounted read-only, comes to
    journal.database.rows("PRAGMA query_only=1")
    keep_day(journal, EnergyDay(0.0, 3000.0))
    journal.flush()
    assert journal.failing
    assert recall_day(journal) == EnergyDay(0.0, 1000.0)
    journal.database.rows("PRAGMA query_only=0")
    journal.flush()
    assert not journal.failing
    assert recall_day(journal) == EnergyDay(0.0, 3000.0)
    journal.database.rows("PRAGMA query_only=1")
    keep_day(journal, EnergyDay(0.0, 4000.0))
    journal.close()
    assert spend(path, time, 0.0)[0] == 7.0


@pytest.mark.parametrize("spent_mj", [1e30, math.inf])
def test_no_figure_is_too_large_for_the_journal(tmp_path: Path, spent_mj: float) -> None:
    journal = journal_at(tmp_path / "j.sqlite", FakeTime())
    keep_day(journal, EnergyDay(0.0, spent_mj))
    journal.flush()
    assert recall_day(journal).spent_mj == MOST_UJ / 1e3
    journal.close()
