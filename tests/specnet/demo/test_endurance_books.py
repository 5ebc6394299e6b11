"""Books that are kept beside the device's own: every broken promise is found."""

from __future__ import annotations

from typing import Any

from specnet.demo.endurance import Books

ACCOUNTS = {"recorded": 2}


def answer(sequence: int = 0, label: int = 1, flags: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    whole = {"type": "answer", "boot": 1, "sequence": sequence, "label": label, "source": "device", "final": True}
    return {**whole, "flags": list(flags), **more}


def row(sequence: int = 0, label: int | None = 1, outcome: str = "answered") -> dict[str, Any]:
    return {"boot": 1, "sequence": sequence, "label": label, "outcome": outcome}


def books(*records: dict[str, Any]) -> Books:
    kept = Books()
    for record in records:
        kept.add(record)
    return kept


def test_all_is_well() -> None:
    kept = books(
        {"type": "ready", "boot": 1},
        {"type": "provisional", "boot": 1, "sequence": 1, "final": False, "flags": []},
        answer(0),
        answer(0, flags=("repeated",)),
        {"type": "lost", "boot": 1, "sequence": 1, "reason": "ended", "flags": [], "final": True},
    )
    found = kept.compare(ACCOUNTS, [row(0), row(1, None, "lost")])
    assert found.kept
    assert (found.said, found.compared, found.not_recorded) == (2, 2, 0)
    assert kept.boots == 1
    assert kept.reasons == {"lost: ended": 1}
    assert kept.sources == {"device": 1, "lost": 1}


def test_a_last_word_that_is_said_again_without_a_flag() -> None:
    found = books(answer(), answer()).compare(ACCOUNTS, [row()])
    assert found.said_twice == [(1, 0)]
    assert not found.kept


def test_another_last_word_even_a_repeated_one() -> None:
    for other in (answer(label=2, flags=("repeated",)), answer(flags=("dropped", "repeated"))):
        found = books(answer(), other).compare(ACCOUNTS, [row()])
        [told] = found.contradictions
        assert told.startswith("(1, 0): in boot 0: answered 1 by device")
        assert not found.kept


def test_what_the_journal_has_and_nobody_was_told() -> None:
    found = books(answer(0)).compare(ACCOUNTS, [row(0), row(1)])
    assert found.unsaid == [(1, 1)]
    assert not found.kept


def test_what_the_journal_has_otherwise() -> None:
    for other in (row(0, label=2), row(0, outcome="dropped")):
        found = books(answer(0)).compare(ACCOUNTS, [other])
        assert found.different == [(1, 0)]
        assert not found.kept
    assert books(answer(0, flags=("dropped",))).compare(ACCOUNTS, [row(0, outcome="dropped")]).kept


def test_what_was_said_to_be_recorded_and_is_not_in_the_accounts() -> None:
    three = books(answer(0), answer(1), answer(2))
    assert three.compare(ACCOUNTS, []).missing == 1
    assert not three.compare(ACCOUNTS, []).kept
    with_full_disk = books(answer(0), answer(1), answer(2, flags=("not_recorded",)))
    found = with_full_disk.compare(ACCOUNTS, [])
    assert (found.missing, found.not_recorded, found.kept) == (0, 1, True)


def test_another_word_after_a_kill_on_a_full_disk_is_what_the_flag_warns_of() -> None:
    ready = {"type": "ready", "boot": 1}
    first, later = answer(flags=("not_recorded",)), answer(label=2)
    found = books(ready, first, ready, later).compare(ACCOUNTS, [row(0, label=2)])
    assert (found.anew, found.said, found.not_recorded, found.kept) == (1, 1, 0, True)
    assert not books(ready, first, later).compare(ACCOUNTS, [row(0, label=2)]).kept, "nobody was killed"
    assert not books(ready, later, ready, first).compare(ACCOUNTS, [row(0, label=2)]).kept, "it was recorded"


def test_half_a_line_is_no_answer() -> None:
    kept = books({"type": "garbage"}, answer(0))
    assert kept.unreadable == 1
    assert len(kept) == 1
