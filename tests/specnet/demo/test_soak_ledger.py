"""The ledger of a soak test: whatever is lost, wrong or said differently another time is found."""

from __future__ import annotations

import pytest

from specnet.demo.soak import Ledger, Said
from specnet.demo.soak.ledger import BROKEN
from specnet.wire import Result

NAMES = ("a", "b")
EXPECTED = [Said(label, 2, 1000 + label, True, "minerals", "", 0.25 * label) for label in range(3)]


def result(device: str = "a", sequence: int = 0, sample: int = 0, **other: object) -> Result:
    said = EXPECTED[sample]
    right = {
        "label": said.label,
        "exit_index": said.exit_index,
        "macs": said.macs,
        "probability": said.probability,
        "bundle": said.bundle,
        "boot": 1,
    }
    return Result(**{**right, "device": device, "sequence": sequence, "gateway": "replica-0", **other})


@pytest.fixture
def ledger() -> Ledger:
    """Device a has asked twice, about samples 0 and 1, and device b once, about sample 1."""
    made = Ledger(NAMES, EXPECTED, 5)
    assert [made.ask(0), made.ask(0), made.ask(1)] == [0, 1, 0]
    assert [made.sample(0, 0), made.sample(0, 1), made.sample(1, 0)] == [0, 1, 1]
    return made


def broken(ledger: Ledger) -> dict[str, int]:
    return {kind: ledger.to_dict()[kind] for kind in BROKEN if ledger.to_dict()[kind]}


def test_requests_are_shared_out_until_there_are_no_more() -> None:
    ledger = Ledger(NAMES, EXPECTED, 5)
    assert [ledger.ask(1) for _ in range(4)] == [0, 1, None, None]
    assert [ledger.ask(0) for _ in range(4)] == [0, 1, 2, None]
    assert ledger.to_dict()["requests"] == 5
    assert ledger.to_dict()["not_asked"] == 0


def test_all_is_well(ledger: Ledger) -> None:
    ledger.ask(0)
    ledger.ask(1)
    for device, name, sequence in ((0, "a", 0), (0, "a", 1), (1, "b", 0), (0, "a", 2), (1, "b", 1)):
        assert not ledger.complete
        assert ledger.take(device, result(name, sequence, ledger.sample(device, sequence)))
    assert ledger.complete
    # a late one of an older request, computed in a batch of another size by another replica
    assert not ledger.take(0, result("a", 1, 1, probability=0.25 + 4e-6, gateway="replica-1", compute_ms=3.0))
    assert ledger.to_dict() == {
        "requests": 5,
        "not_asked": 0,
        "answered": 5,
        "repeated_answers": 1,
        "lost": 0,
        **dict.fromkeys(BROKEN, 0),
        "examples": [],
    }


def test_a_request_without_an_answer_is_lost_and_named(ledger: Ledger) -> None:
    ledger.take(0, result("a", 1, 1))
    found = ledger.to_dict()
    assert ledger.lost() == ["a-1-0", "b-1-0"]
    assert (found["lost"], found["not_asked"], found["answered"]) == (2, 2, 1)
    assert found["examples"] == ["lost: a-1-0", "lost: b-1-0"]


@pytest.mark.parametrize(
    "other",
    [{"label": 2}, {"exit_index": 1}, {"macs": 999}, {"known": False}, {"bundle": "other"}, {"probability": 2e-5}],
)
def test_an_answer_that_the_model_does_not_give_is_wrong(ledger: Ledger, other: dict[str, object]) -> None:
    assert ledger.take(0, result(**other))
    assert broken(ledger) == {"wrong": 1}
    assert ledger.to_dict()["examples"][0].startswith("wrong: a-1-0 at a by replica-0: Said(label=")


def test_the_answer_of_another_request_is_wrong(ledger: Ledger) -> None:
    ledger.take(0, result("a", 0, sample=ledger.sample(0, 1)))
    assert broken(ledger) == {"wrong": 1}


@pytest.mark.parametrize(
    "other",
    [{"label": 2}, {"exit_index": 1}, {"macs": 999}, {"known": False}, {"bundle": "other"}, {"probability": 2e-5}],
)
def test_a_second_answer_that_is_another_one(ledger: Ledger, other: dict[str, object]) -> None:
    ledger.take(0, result())
    ledger.take(0, result("a", 1, 1))
    assert not ledger.take(0, result(**other))
    assert broken(ledger) == {"wrong": 1, "different": 1}
    assert ledger.to_dict()["repeated_answers"] == 1


def test_a_wrong_answer_that_is_repeated_does_not_differ_and_the_right_one_behind_it_does(ledger: Ledger) -> None:
    ledger.take(0, result(label=2))
    ledger.take(0, result(label=2))
    assert broken(ledger) == {"wrong": 2}
    ledger.take(0, result())
    assert broken(ledger) == {"wrong": 2, "different": 1}


def test_an_error_is_a_failure_and_an_answer_behind_it_differs(ledger: Ledger) -> None:
    assert ledger.take(0, result(error="out of memory"))
    assert broken(ledger) == {"failed": 1}
    assert ledger.lost() == ["b-1-0", "a-1-1"]
    ledger.take(0, result())
    assert broken(ledger) == {"failed": 1, "different": 1}


@pytest.mark.parametrize("stray", [result("a", 2, 2), result("b", 0, 1), result("a", boot=2), result("a", 2**40)])
def test_an_answer_that_nobody_has_asked_for(ledger: Ledger, stray: Result) -> None:
    assert not ledger.take(0, stray)
    assert broken(ledger) == {"unasked": 1}
    assert ledger.to_dict()["answered"] == 0


def test_only_the_first_examples_are_kept(ledger: Ledger) -> None:
    for _ in range(100):
        ledger.take(0, result(label=2))
    assert broken(ledger) == {"wrong": 100}
    assert len(ledger.examples) == 5
