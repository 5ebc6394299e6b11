from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import msgspec
import pytest
from support_device import PAYLOAD, pending_request
from support_journal import FakeTime, final, is_balanced, journal_at, record_and_answer, spectrum

from device.journal import Journal, OutboxSettings
from device.journal.keeper import Keeper
from device.outbox import Outbox
from specnet.errors import ConfigurationError


def put(journal: Journal, sequence: int) -> None:
    assert journal.record(spectrum(journal, sequence))
    Outbox(journal, OutboxSettings()).put(pending_request(sequence, journal.boot), "topic", PAYLOAD)


def finals_of(journal: Journal) -> list[tuple[int, int, str]]:
    return journal.database.rows("SELECT boot, sequence, outcome FROM answers ORDER BY boot, sequence")


def fill(journal: Journal, pages: int) -> None:
    """Let the file grow by no more than so many pages: SQLite's own bound gives the error that a full disk gives."""
    [[used]] = journal.database.rows("PRAGMA page_count")
    journal.database.rows(f"PRAGMA max_page_count={used + pages}")


def make_room(journal: Journal) -> None:
    journal.database.rows("PRAGMA max_page_count=100000")


def test_a_final_answer_and_the_removal_of_its_request_are_one(tmp_path: Path) -> None:
    journal = journal_at(tmp_path / "j.sqlite")
    put(journal, 0)
    assert journal.conclude([final(1, 0, source="gateway")]).recorded
    assert finals_of(journal) == [(1, 0, "answered")]
    assert len(Outbox(journal, OutboxSettings())) == 0
    assert journal.conclude([final(1, 0, label=4)]).recorded
    assert journal.counters["final_twice"] == 1
    assert journal.database.rows("SELECT label FROM answers") == [(1,)], "the first answer stands"
    journal.close()


def test_what_is_open_when_the_device_ends_is_lost_and_counted_at_the_next_start(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    journal = journal_at(path)
    record_and_answer(journal, 0, 1)
    put(journal, 2)
    journal.record(spectrum(journal, 3, "high_temperature"))
    assert (journal.accounts().open, journal.accounts().pending) == (1, 1)
    journal.close()
    journal = journal_at(path)
    assert (journal.start.after, journal.start.lost, journal.start.may_be_missing) == ("stopped", 1, 0)
    [lost] = journal.to_repeat
    assert (lost.key, lost.outcome, lost.label) == ((1, 3), "lost", None)
    assert "ended before" in lost.reason
    assert (journal.accounts().lost, journal.accounts().pending, journal.accounts().open) == (1, 1, 0)
    assert is_balanced(journal)
    journal.said(journal.to_repeat)
    journal.close()
    journal = journal_at(path)
    assert journal.to_repeat == []
    assert journal.start.lost == 0
    journal.close()


def test_finals_that_were_not_said_are_said_by_the_next_start_until_they_are(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    journal = journal_at(path)
    record_and_answer(journal, 0)
    for sequence in (1, 2):
        journal.record(spectrum(journal, sequence))
        journal.conclude([final(1, sequence)])
    journal.said([final(1, 2)])
    journal.close()
    for _ in range(2):
        journal = journal_at(path)
        assert [repeated.key for repeated in journal.to_repeat] == [(1, 1), (1, 2)]
        journal.close()
    journal = journal_at(path)
    journal.said(journal.to_repeat)
    journal.close()
    journal = journal_at(path)
    assert journal.to_repeat == []
    journal.close()


def test_a_power_cut_takes_at_most_what_was_not_flushed_and_the_next_start_says_so(tmp_path: Path) -> None:
    """The disk as it was after the last flush is what a power cut may leave."""
    folder, cut = tmp_path / "disk", tmp_path / "cut"
    journal = journal_at(folder / "j.sqlite", flush_spectra=10)
    for sequence in range(27):
        record_and_answer(journal, sequence)
        if sequence == 19:  # the twentieth has flushed
            shutil.copytree(folder, cut)
    journal.database.close()
    with sqlite3.connect(cut / "j.sqlite") as connection:
        connection.execute("UPDATE boots SET machine = 'another start of the machine'")
    connection.close()
    journal = journal_at(cut / "j.sqlite")
    assert (journal.start.after, journal.start.may_be_missing) == ("power", 10)
    accounts = journal.accounts()
    assert 27 - journal.start.may_be_missing <= accounts.recorded <= 27
    assert accounts.recorded == accounts.answered + accounts.lost == 20
    assert journal.boot == 2
    journal.close()


def test_one_flush_serves_many_answers(tmp_path: Path) -> None:
    journal = journal_at(tmp_path / "j.sqlite", flush_spectra=50)
    record_and_answer(journal, *range(200))
    assert journal.counters["flushes"] == 4
    journal.close()


def test_a_full_disk_stops_no_answer_and_what_can_be_written_later_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = journal_at(tmp_path / "j.sqlite")
    put(journal, 0)
    journal.record(spectrum(journal, 1))
    fill(journal, 0)
    filler = 2
    while journal.record(spectrum(journal, filler)):
        filler += 1
    outbox = Outbox(journal, OutboxSettings())
    with pytest.raises(sqlite3.OperationalError, match="full"):
        outbox.put(pending_request(filler), "topic", bytes(5000))
    assert not journal.conclude([final(1, filler)]).recorded
    late = [final(1, 0, payload_bytes=100), *(final(1, n, reason="x" * 300) for n in range(1, filler))]
    assert not journal.conclude(late).recorded
    assert outbox.get((1, 0)) is None, "it was given out: a second result is a repeated one"
    assert len(outbox) == 0
    assert journal.failing
    assert journal.counters["not_recorded"] == 1
    assert sum("cannot be written" in record.message for record in caplog.records) == 1, "said once, not each time"
    make_room(journal)
    Keeper(journal).tend()
    assert not journal.failing
    assert journal.counters["recorded_late"] == filler
    assert finals_of(journal) == [(1, n, "answered") for n in range(filler)]
    assert is_balanced(journal)
    assert journal.record(spectrum(journal, filler + 1))
    journal.close()
    [[counted]] = sqlite3.connect(tmp_path / "j.sqlite").execute(
        "SELECT value FROM counters WHERE name = 'not_recorded'"
    )
    assert counted == 1


def test_the_last_accounts_have_what_a_full_disk_had_refused(tmp_path: Path) -> None:
    """The summary is made between the end of the keeper and that of the journal."""
    journal = journal_at(tmp_path / "j.sqlite")
    keeper = Keeper(journal)
    journal.record(spectrum(journal, 0))
    fill(journal, 0)
    filler = 1
    while journal.record(spectrum(journal, filler)):
        filler += 1
    assert not journal.conclude([final(1, n, reason="x" * 300) for n in range(filler)]).recorded
    make_room(journal)
    assert journal.accounts().open == filler
    keeper.stop()
    assert (journal.accounts().open, journal.accounts().answered) == (0, filler)
    journal.close()


def test_a_spectrum_that_could_not_be_written_at_once_is_written_with_its_answer(tmp_path: Path) -> None:
    journal = journal_at(tmp_path / "j.sqlite")
    fill(journal, 0)
    sequence = 0
    while journal.record(spectrum(journal, sequence)):
        sequence += 1
    make_room(journal)
    assert journal.conclude([final(1, sequence)]).recorded
    assert (1, sequence, "answered") in finals_of(journal)
    assert is_balanced(journal)
    journal.close()


def test_history_is_bounded_by_rows_and_what_is_forgotten_stays_in_the_accounts(tmp_path: Path) -> None:
    journal = journal_at(tmp_path / "j.sqlite", max_rows=100)
    keeper = Keeper(journal)
    put(journal, 0)
    record_and_answer(journal, *range(1, 1501))
    keeper.tend()
    assert [sequence for _, sequence, _ in finals_of(journal)] == list(range(1401, 1501))
    assert journal.database.rows("SELECT COUNT(*) FROM spectra") == [(101,)], "the pending one is kept"
    accounts = journal.accounts()
    assert (accounts.recorded, accounts.answered, accounts.pending) == (1501, 1500, 1)
    journal.close()
    again = journal_at(tmp_path / "j.sqlite", max_rows=100)
    assert again.accounts() == accounts
    again.close()


def test_history_is_bounded_by_age(tmp_path: Path) -> None:
    time = FakeTime()
    journal = journal_at(tmp_path / "j.sqlite", time, max_age_s=1000.0)
    keeper = Keeper(journal)
    record_and_answer(journal, 0, 1)
    time.pass_by(600)
    time.wall += 3e9
    record_and_answer(journal, 2)
    keeper.tend()
    assert len(finals_of(journal)) == 3, "a jump of the wall clock makes nothing older"
    time.pass_by(600)
    keeper.tend()
    assert finals_of(journal) == [(1, 2, "answered")]
    assert journal.accounts().answered == 3
    journal.close()


def test_without_history_answers_go_once_they_are_counted(tmp_path: Path) -> None:
    journal = journal_at(tmp_path / "j.sqlite", enabled=False)
    keeper = Keeper(journal)
    record_and_answer(journal, *range(10))
    journal.record(spectrum(journal, 10))
    journal.conclude([final(1, 10)])
    keeper.tend()
    assert finals_of(journal) == [(1, 10, "answered")], "what was perhaps not said yet is kept"
    assert journal.accounts().answered == 11
    journal.close()


def test_the_file_gives_space_back_and_stays_within_its_bound(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    journal = journal_at(path, max_rows=50, outbox_max_bytes=1 << 22)
    keeper, outbox = Keeper(journal), Outbox(journal, OutboxSettings())
    for sequence in range(400):
        journal.record(spectrum(journal, sequence))
        outbox.put(pending_request(sequence), "topic", bytes(10_000))
    [[grown]] = journal.database.rows("PRAGMA page_count")
    for sequence in range(400):
        journal.conclude([final(1, sequence)])
    journal.said([final(1, sequence) for sequence in range(400)])
    for _ in range(10):
        keeper.tend()
    [[shrunk]] = journal.database.rows("PRAGMA page_count")
    assert grown > 1000
    assert shrunk < 400
    journal.close()


def test_a_file_at_its_bound_forgets_the_oldest_answers_and_goes_on(tmp_path: Path) -> None:
    journal = journal_at(tmp_path / "j.sqlite")
    keeper = Keeper(journal)
    record_and_answer(journal, *range(1000))
    fill(journal, 0)
    sequence = 1000
    while journal.record(spectrum(journal, sequence)):
        journal.conclude([final(1, sequence)])
        journal.said([final(1, sequence)])
        sequence += 1
    keeper.tend()
    assert journal.record(spectrum(journal, sequence + 1))
    assert len(finals_of(journal)) <= sequence - 500
    assert is_balanced(journal)
    journal.close()


def test_boot_numbers_go_on_and_a_second_process_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "j.sqlite"
    journal = journal_at(path)
    with pytest.raises(ConfigurationError, match="another process"):
        journal_at(path)
    journal.close()
    journal.close()
    again = journal_at(path)
    assert again.boot == 2
    again.close()


@pytest.mark.parametrize("lock_file", ["kept", "gone"])
@pytest.mark.parametrize("damage", ["text", "middle"])
def test_a_damaged_database_is_set_aside_and_boot_numbers_are_not_used_again(
    tmp_path: Path, damage: str, lock_file: str
) -> None:
    path = tmp_path / "j.sqlite"
    journal_at(path).close()
    journal = journal_at(path)
    record_and_answer(journal, *range(200))
    for sequence in range(200, 280):
        put(journal, sequence)
    journal.close()
    content = bytearray(path.read_bytes())
    if damage == "text":
        content = bytearray(b"this was never a database, whatever its name says" * 100)
    else:
        content[4096 : len(content)] = bytes([0xA5]) * (len(content) - 4096)
    path.write_bytes(content)
    if lock_file == "gone":
        path.with_name("j.sqlite.lock").unlink()
    journal = journal_at(path)
    assert journal.boot == 3 if lock_file == "kept" else journal.boot > 1_000_000_000
    assert journal.accounts().recorded == 0
    [aside] = tmp_path.glob("j.sqlite.damaged-*")
    assert aside.read_bytes() == bytes(content)
    record_and_answer(journal, 0)
    journal.close()


def test_a_database_of_a_newer_release_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    journal_at(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version=9")
    connection.close()
    with pytest.raises(ConfigurationError, match="format 9"):
        journal_at(path)


def test_an_outbox_of_format_1_becomes_a_journal_and_keeps_its_requests(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    connection = sqlite3.connect(path)
    connection.executescript(
        "PRAGMA journal_mode=WAL;"
        "CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
        "CREATE TABLE requests (boot INTEGER NOT NULL, sequence INTEGER NOT NULL, topic TEXT NOT NULL,"
        " payload BLOB NOT NULL, local BLOB NOT NULL, PRIMARY KEY (boot, sequence));"
        "INSERT INTO counters VALUES ('boot', 7); PRAGMA user_version=1;"
    )
    old = msgspec.to_builtins(pending_request(3, 6))
    del old["audit"], old["flags"]
    connection.execute("INSERT INTO requests VALUES (6, 3, 'topic', ?, ?)", (PAYLOAD, msgspec.msgpack.encode(old)))
    connection.commit()
    connection.close()
    journal = journal_at(path)
    outbox = Outbox(journal, OutboxSettings())
    assert journal.boot == 8
    assert outbox.pending() == [pending_request(3, 6)]
    assert outbox.message((6, 3)) == ("topic", PAYLOAD)
    assert outbox.load == (1, 100, 0, 0)
    assert journal.database.rows("PRAGMA auto_vacuum") == [(2,)]
    assert journal.conclude([final(6, 3)]).recorded
    assert outbox.load == (0, 0, 0, 0)
    assert journal.accounts().recorded == journal.accounts().answered == 1
    journal.close()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be used"):
        journal_at(tmp_path / "file" / "j.sqlite")
