"""Memory of answers: bounded, and by request."""

from __future__ import annotations

from gateway.answers import Answers, Claim, RequestKey, Waiting
from specnet.wire import Result


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def key(sequence: int, **changes: object) -> RequestKey:
    return RequestKey("lab", "probe-1", 1, sequence, "abc", 1, 77)._replace(**changes)


def result(sequence: int) -> Result:
    return Result(device="probe-1", boot=1, sequence=sequence, bundle="abc", label=2)


def test_a_request_is_claimed_once_until_it_is_finished_and_known_afterwards() -> None:
    answers = Answers(10, 60)
    assert answers.claim(key(1)) is Claim.NEW
    assert answers.claim(key(1)) is Claim.UNDER_WAY
    answers.finish(key(1), result(1))
    assert answers.claim(key(1)) == result(1)


def test_a_released_request_can_be_claimed_again() -> None:
    answers = Answers(10, 60)
    answers.claim(key(1))
    answers.release(key(1))
    assert answers.claim(key(1)) is Claim.NEW


def test_every_part_of_the_key_makes_another_request() -> None:
    answers = Answers(10, 60)
    answers.claim(key(1))
    answers.finish(key(1), result(1))
    for change in ({"site": "x"}, {"device": "x"}, {"boot": 2}, {"bundle": "x"}, {"split": 2}, {"crc32": 1}):
        assert answers.claim(key(1, **change)) is Claim.NEW


def test_the_least_recently_used_result_is_forgotten_first() -> None:
    answers = Answers(2, 60)
    for sequence in (1, 2):
        answers.claim(key(sequence))
        answers.finish(key(sequence), result(sequence))
    answers.claim(key(1))
    answers.claim(key(3))
    answers.finish(key(3), result(3))
    assert len(answers) == 2
    assert answers.claim(key(1)) == result(1)
    assert answers.claim(key(2)) is Claim.NEW


def test_old_results_are_forgotten() -> None:
    clock = Clock()
    answers = Answers(10, 60, clock=clock)
    answers.claim(key(1))
    answers.finish(key(1), result(1))
    clock.now += 60
    assert answers.claim(key(1)) == result(1)
    clock.now += 1
    assert answers.claim(key(1)) is Claim.NEW
    assert len(answers) == 0


def test_which_bundles_have_requests_under_way_is_known_until_each_is_finished_or_released() -> None:
    answers = Answers(10, 60)
    for number in (1, 2):
        answers.claim(key(number))
    answers.claim(key(3, bundle="def"))
    answers.finish(key(1), result(1))
    assert answers.wants("abc")
    answers.release(key(2))
    assert [answers.wants(bundle) for bundle in ("abc", "def", "ghi")] == [False, True, False]


def test_requests_without_an_answer_are_counted_with_the_age_of_the_oldest_by_priority() -> None:
    clock = Clock()
    answers = Answers(10, 60, clock=clock)
    for sequence, audit in ((1, False), (2, True), (3, False)):
        answers.claim(key(sequence), audit=audit)
        clock.now += 10
    assert (answers.waiting(False), answers.waiting(True)) == (Waiting(2, 30.0), Waiting(1, 20.0))
    answers.finish(key(1), result(1))
    answers.release(key(2))
    assert (answers.waiting(False), answers.waiting(True)) == (Waiting(1, 10.0), Waiting(0, 0.0))
    assert answers.under_way == 1
    # once more the same way: a request under way is no second one, whatever it says of itself
    assert answers.claim(key(3), audit=True) is Claim.UNDER_WAY
    assert answers.under_way == 1
