"""The queue: order, groups, bounds, shedding."""

from __future__ import annotations

import threading
from collections.abc import Callable

from support_broker import wait_until

from gateway.batching import Refusal, RequestQueue, Work

Make = Callable[..., Work]


def sequences(batch: list[Work]) -> list[int]:
    return [work.key.sequence for work in batch]


def test_a_batch_takes_what_waits_oldest_first_up_to_its_limit(make_work: Make) -> None:
    queue = RequestQueue(10)
    for number in range(5):
        assert queue.put(make_work(number)).refusal is None
    assert sequences(queue.take(3)) == [0, 1, 2]
    assert len(queue) == 2
    assert sequences(queue.take(3)) == [3, 4]
    assert len(queue) == 0


def test_a_batch_has_one_split_and_begins_with_the_request_that_waited_longest(make_work: Make) -> None:
    queue = RequestQueue(10)
    for number, split in enumerate((2, 1, 1, 2, 1)):
        queue.put(make_work(number, split=split))
    assert sequences(queue.take(8)) == [0, 3]
    assert sequences(queue.take(8)) == [1, 2, 4]


def test_a_full_queue_refuses_the_newest(make_work: Make) -> None:
    queue = RequestQueue(2)
    queue.put(make_work(0))
    queue.put(make_work(1))
    assert queue.put(make_work(2)).refusal is Refusal.FULL
    assert sequences(queue.take(8)) == [0, 1]


def test_a_full_queue_sheds_the_newest_audit_sample_for_a_request(make_work: Make) -> None:
    queue = RequestQueue(3)
    for number, audit in enumerate((True, False, True)):
        queue.put(make_work(number, audit=audit))
    admission = queue.put(make_work(3))
    assert admission.refusal is None
    assert admission.victim is not None
    assert admission.victim.key.sequence == 2
    assert queue.put(make_work(4)).victim.key.sequence == 0
    assert queue.put(make_work(5)).refusal is Refusal.FULL
    assert sequences(queue.take(8)) == [1, 3, 4]


def test_an_audit_sample_never_displaces_anything(make_work: Make) -> None:
    queue = RequestQueue(1)
    queue.put(make_work(0, audit=True))
    assert queue.put(make_work(1, audit=True)).refusal is Refusal.AUDIT
    assert sequences(queue.take(8)) == [0]


def test_a_closed_queue_refuses_but_hands_out_what_waits(make_work: Make) -> None:
    queue = RequestQueue(4)
    queue.put(make_work(0))
    queue.close()
    assert queue.put(make_work(1)).refusal is Refusal.CLOSED
    assert sequences(queue.take(8)) == [0]
    assert queue.take(8) == []


def test_discard_gives_everything_back_in_order(make_work: Make) -> None:
    queue = RequestQueue(4)
    for number, split in enumerate((2, 1, 2)):
        queue.put(make_work(number, split=split))
    assert sequences(queue.discard()) == [0, 1, 2]
    assert queue.take(8) == []


def test_a_waiting_take_is_woken_by_a_request_and_by_closing(make_work: Make) -> None:
    queue, taken = RequestQueue(4), []

    def work() -> None:
        while batch := queue.take(8):
            taken.extend(batch)

    thread = threading.Thread(target=work)
    thread.start()
    queue.put(make_work(0))
    wait_until(lambda: taken, "the request is taken")
    queue.close()
    thread.join(10)
    assert not thread.is_alive()
    assert sequences(taken) == [0]


def test_a_lingering_take_fills_its_batch(make_work: Make) -> None:
    queue, taken = RequestQueue(8), []
    queue.put(make_work(0))
    thread = threading.Thread(target=lambda: taken.append(queue.take(3, linger_s=60)))
    thread.start()
    queue.put(make_work(1))
    queue.put(make_work(2, split=2))
    queue.put(make_work(3))
    thread.join(10)
    assert not thread.is_alive()
    assert sequences(taken[0]) == [0, 1, 3]
