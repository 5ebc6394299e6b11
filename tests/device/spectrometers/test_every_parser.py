"""Parsers read what a line may carry at its worst: any bytes, in any pieces."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support_parsers import SUBJECTS, Subject, describe


def inputs(subject: Subject) -> st.SearchStrategy[bytes]:
    """Noise, pieces of the protocol, good answers, and good answers with a wrong byte."""
    broken = st.tuples(st.integers(0, len(subject.good) - 1), st.integers(0, 255)).map(
        lambda change: subject.good[: change[0]] + bytes([change[1]]) + subject.good[change[0] + 1 :]
    )
    cut_off = st.integers(0, len(subject.good)).map(lambda end: subject.good[:end])
    pieces = st.one_of(st.binary(max_size=60), st.sampled_from([*subject.crumbs, subject.good]), broken, cut_off)
    return st.lists(pieces, max_size=16).map(b"".join)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:stop] for start, stop in itertools.pairwise(edges)]


@pytest.mark.parametrize("subject", SUBJECTS.values(), ids=SUBJECTS.keys())
@settings(deadline=None, max_examples=80)
@given(data=st.data())
def test_how_the_bytes_are_cut_changes_no_event_and_little_is_held(subject: Subject, data: st.DataObject) -> None:
    content = data.draw(inputs(subject))
    whole, pieces, bytewise = subject.make(), subject.make(), subject.make()
    expected = [describe(event) for event in whole.feed(content)]
    found: list[str] = []
    for piece in cut(content, data.draw(st.lists(st.integers(0, 10_000), max_size=20))):
        found += map(describe, pieces.feed(piece))
        assert pieces.held_bytes <= subject.limit
    assert found == expected
    single: list[str] = []
    for byte in content:
        single += map(describe, bytewise.feed(bytes([byte])))
        assert bytewise.held_bytes <= subject.limit
    assert single == expected
    assert whole.held_bytes == pieces.held_bytes == bytewise.held_bytes


@pytest.mark.parametrize("subject", SUBJECTS.values(), ids=SUBJECTS.keys())
def test_a_good_answer_is_one_event(subject: Subject) -> None:
    parser = subject.make()
    [event] = parser.feed(subject.good)
    assert "Damaged" not in describe(event)
    assert "Unreadable" not in describe(event)
    assert parser.held_bytes == 0


@pytest.mark.parametrize("subject", SUBJECTS.values(), ids=SUBJECTS.keys())
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_after_garbage_and_a_reset_a_good_answer_is_read(subject: Subject, data: st.DataObject) -> None:
    parser, fresh = subject.make(), subject.make()
    parser.feed(data.draw(inputs(subject)))
    parser.reset()
    if hasattr(parser, "expect"):
        parser.expect(fresh._expected)  # type: ignore[attr-defined]
    assert [describe(e) for e in parser.feed(subject.good)] == [describe(e) for e in fresh.feed(subject.good)]


@pytest.mark.parametrize("name", ["c12880ma", "as7265x", "declarative-text"])
@given(garbage=st.binary(max_size=2000))
@settings(deadline=None, max_examples=60)
def test_lines_are_found_again_at_the_next_end_of_line(name: str, garbage: bytes) -> None:
    subject = SUBJECTS[name]
    # an acknowledgement closes whatever numbers a cut-off answer has left behind
    closing = b"\nOK\n" if name == "as7265x" else b"\n"
    events = [describe(event) for event in subject.make().feed(garbage + closing + subject.good)]
    [good] = subject.make().feed(subject.good)
    assert events[-1] == describe(good)


@pytest.mark.parametrize("name", ["ocean-binary", "declarative-binary"])
@given(garbage=st.binary(max_size=400), prefix=st.sampled_from([b"", b"\xc1", b"\xc1\xc0", b"\xaa", b"\xaa\x55"]))
@settings(deadline=None, max_examples=60)
def test_frames_are_found_again_inside_what_looked_like_one(name: str, garbage: bytes, prefix: bytes) -> None:
    subject = SUBJECTS[name]
    parser = subject.make()
    events = list(parser.feed(garbage + prefix + subject.good))
    events += parser.flush()  # type: ignore[attr-defined]
    [good] = subject.make().feed(subject.good)
    assert describe(good) in [describe(event) for event in events]
    assert parser.held_bytes == 0
