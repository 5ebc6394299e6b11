from __future__ import annotations

import io
import json
import sqlite3
from pathlib import Path

import msgspec
import pytest
from support_device import PAYLOAD
from support_device import pending_request as request
from support_journal import DAY_S, FakeTime, final, is_balanced, journal_at, spectrum

from device.journal import Journal, OutboxSettings
from device.outbox import Outbox
from device.records import RecordWriter
from device.reporter import Reporter
from specnet.wire import Result


def outbox_of(journal: Journal, **bounds: float) -> Outbox:
    return Outbox(journal, OutboxSettings(**{"max_bytes": 10_000, "max_requests": 100, **bounds}))


def put(journal: Journal, outbox: Outbox, sequence: int, payload: bytes = PAYLOAD) -> list[int]:
    assert journal.record(spectrum(journal, sequence))
    return [dropped.request.sequence for dropped in outbox.put(request(sequence, journal.boot), "topic", payload)]


def audit(outbox: Outbox, sequence: int, boot: int = 1) -> bool:
    return outbox.put_audit(msgspec.structs.replace(request(sequence, boot), audit=True), "topic", PAYLOAD)


def test_what_is_put_comes_back_until_it_is_final(tmp_path: Path) -> None:
    journal = journal_at(tmp_path / "j.sqlite")
    outbox = outbox_of(journal)
    assert put(journal, outbox, 7) == []
    assert outbox.pending() == [request(7)]
    assert outbox.get((1, 7)) == request(7)
    assert outbox.message((1, 7)) == ("topic", PAYLOAD)
    assert (len(outbox), outbox.payload_bytes) == (1, 100)
    assert outbox.give_up((1, 7), "no reason").recorded
    assert outbox.give_up((1, 7), "no reason") is None
    assert outbox.get((1, 7)) is outbox.message((1, 7)) is None
    assert (len(outbox), outbox.payload_bytes) == (0, 0)
    assert is_balanced(journal)
    journal.close()


def test_requests_survive_a_restart(tmp_path: Path) -> None:
    for boot in (1, 2, 3):
        journal = journal_at(tmp_path / "folder" / "j.sqlite")
        assert journal.boot == boot
        put(journal, outbox_of(journal), boot)
        journal.close()
    journal = journal_at(tmp_path / "folder" / "j.sqlite")
    outbox = outbox_of(journal)
    assert [pending.key for pending in outbox.pending()] == [(1, 1), (2, 2), (3, 3)]
    assert (len(outbox), outbox.payload_bytes) == (3, 300)
    assert journal.accounts().pending == journal.accounts().recorded == 3
    journal.close()


def test_the_oldest_go_when_it_is_full_and_their_own_answer_is_final(tmp_path: Path) -> None:
    journal = journal_at(tmp_path / "j.sqlite")
    outbox = outbox_of(journal, max_requests=3)
    assert [victim for sequence in range(5) for victim in put(journal, outbox, sequence)] == [0, 1]
    assert [pending.sequence for pending in outbox.pending()] == [2, 3, 4]
    assert (journal.accounts().dropped, journal.accounts().pending) == (2, 3)
    assert journal.counters["dropped_request_outbox_full"] == 2
    assert is_balanced(journal)
    rows = journal.database.rows("SELECT sequence, label, flags, reason FROM answers ORDER BY sequence")
    assert rows == [(n, 1, "dropped", "outbox full") for n in (0, 1)]
    journal.close()


def test_a_result_that_comes_while_its_request_is_dropped_is_no_second_last_word(tmp_path: Path) -> None:
    """The uplink has looked a request up when the acquisition's thread drops it to make room."""
    journal = journal_at(tmp_path / "j.sqlite")
    outbox = outbox_of(journal, max_requests=1)
    put(journal, outbox, 0)
    assert put(journal, outbox, 1) == [0]
    stream = io.StringIO()
    reporter = Reporter(
        "node-1", "b", ("a", "c", "d"), journal, RecordWriter(stream, lambda: None), lambda command: None
    )
    late = Result(device="node-1", boot=1, sequence=0, bundle="b", label=2, probability=0.9, exit_index=2)
    in_time = msgspec.structs.replace(late, sequence=1)
    reporter.answered([(request(0), late), (request(1), in_time)])
    said = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [record["sequence"] for record in said] == [1], "its own answer was given out already"
    assert journal.database.rows("SELECT sequence, outcome FROM answers ORDER BY sequence") == [
        (0, "dropped"),
        (1, "answered"),
    ]
    assert reporter.counters["gateway"] == 1, "what is not said is not counted"
    assert outbox.give_up((1, 0), "too old") is None
    assert is_balanced(journal)
    journal.close()


def test_a_last_word_that_waits_for_space_on_the_disk_is_the_one_that_stays(tmp_path: Path) -> None:
    journal = journal_at(tmp_path / "j.sqlite")
    outbox = outbox_of(journal, max_requests=1)
    put(journal, outbox, 0)
    [[pages]] = journal.database.rows("PRAGMA page_count")
    journal.database.rows(f"PRAGMA max_page_count={pages}")
    said = final(1, 0, label=2, source="gateway", reason="x" * 20_000)
    assert journal.conclude([said]) == (False, frozenset())
    assert journal.conclude([final(1, 0, label=1)]).twice == {(1, 0)}, "said already"
    journal.database.rows("PRAGMA max_page_count=100000")
    assert put(journal, outbox, 1) == [], "nothing is said of the oldest, whose request had to go"
    journal.catch_up()
    assert journal.database.rows("SELECT sequence, label, outcome FROM answers") == [(0, 2, "answered")]
    assert [pending.sequence for pending in outbox.pending()] == [1]
    assert is_balanced(journal)
    journal.close()


def test_bytes_are_bounded_and_a_single_request_over_the_bound_does_not_stay(tmp_path: Path) -> None:
    journal = journal_at(tmp_path / "j.sqlite")
    outbox = outbox_of(journal, max_bytes=1024)
    for sequence in range(10):
        assert put(journal, outbox, sequence) == []
    assert put(journal, outbox, 10) == [0]
    assert put(journal, outbox, 99, bytes(2000)) == [*range(1, 11), 99]
    assert (len(outbox), outbox.payload_bytes) == (0, 0)
    assert journal.accounts().dropped == 12
    journal.close()


def test_audit_samples_have_their_share_and_give_way_to_requests(tmp_path: Path) -> None:
    journal = journal_at(tmp_path / "j.sqlite")
    outbox = outbox_of(journal, max_requests=10, audit_share=0.3)
    assert all(audit(outbox, 100 + n) for n in range(5))
    assert [pending.sequence for pending in outbox.pending(audits=True)] == [102, 103, 104]
    assert [victim for sequence in range(9) for victim in put(journal, outbox, sequence)] == []
    assert [pending.sequence for pending in outbox.pending(audits=True)] == [104]
    assert put(journal, outbox, 9) == []
    assert not audit(outbox, 105), "it takes no room from requests"
    assert outbox.load == (10, 1000, 0, 0)
    assert put(journal, outbox, 10) == [0]
    assert journal.counters["dropped_audit_outbox_full"] == 6
    journal.close()


@pytest.mark.parametrize("jump_s", [0.0, 5 * 365 * DAY_S, -50 * 365 * DAY_S])
def test_age_counts_the_time_that_passed_and_not_what_the_wall_clock_says(tmp_path: Path, jump_s: float) -> None:
    time = FakeTime()
    journal = journal_at(tmp_path / "j.sqlite", time)
    outbox = outbox_of(journal, max_age_s=3600.0)
    put(journal, outbox, 0)
    time.wall += jump_s
    time.pass_by(3000)
    put(journal, outbox, 1)
    audit(outbox, 50)
    assert outbox.expire() == []
    time.pass_by(1000)
    assert [dropped.request.sequence for dropped in outbox.expire()] == [0]
    time.pass_by(10_000)
    assert [dropped.request.sequence for dropped in outbox.expire()] == [1]
    assert outbox.load == (0, 0, 0, 0)
    assert journal.counters["dropped_request_too_old"] == 2
    assert journal.counters["dropped_audit_too_old"] == 1
    assert is_balanced(journal)
    journal.close()


def test_the_pause_between_two_boots_counts_for_a_day_at_most_and_never_backwards(tmp_path: Path) -> None:
    time = FakeTime(wall=1.8e9)
    ages = []
    for wall in (1.8e9 + 100, 60.0, 1.8e9 + 30 * DAY_S, 1.8e9 + 30 * DAY_S + 60):
        journal = journal_at(tmp_path / "j.sqlite", time)
        ages.append(journal.age())
        journal.close()
        time.reboot(wall)
    journal = journal_at(tmp_path / "j.sqlite", time)
    ages.append(journal.age())
    journal.close()
    assert ages == [0.0, 100.0, 100.0, 100.0 + DAY_S, 100.0 + DAY_S + 60]


def test_a_put_that_fails_changes_nothing(tmp_path: Path) -> None:
    journal = journal_at(tmp_path / "j.sqlite")
    outbox = outbox_of(journal, max_requests=1)
    put(journal, outbox, 1)
    with pytest.raises(sqlite3.IntegrityError):
        outbox.put(request(1), "topic", PAYLOAD)
    assert outbox.pending() == [request(1)]
    assert outbox.load == (1, 100, 0, 0)
    assert is_balanced(journal)
    journal.close()
