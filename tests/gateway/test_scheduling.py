"""The scheduler: order, groups, fairness, bounds, shedding."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support_broker import wait_until

from gateway.answers import RequestKey
from gateway.scheduling import KEPT, Refusal, Scheduler
from gateway.work import Task, Work
from specnet.codec import EncodedFeatures
from specnet.mqtt import Incoming
from specnet.wire import OffloadRequest

Make = Callable[..., Work]
NOW = 1000.0


def sequences(batch: Sequence[Task | Work]) -> list[int]:
    works = [item.work if isinstance(item, Task) else item for item in batch]
    return [work.key.sequence for work in works]


def of(work: Work, device: str, **changes: float) -> Work:
    return replace(work, key=work.key._replace(device=device), **changes)


def test_a_batch_takes_what_waits_oldest_first_up_to_its_limit(make_work: Make) -> None:
    scheduler = Scheduler(10)
    for number in range(5):
        assert scheduler.put(make_work(number)).shed is None
    assert sequences(scheduler.take(3)) == [0, 1, 2]
    assert len(scheduler) == 2
    assert sequences(scheduler.take(3)) == [3, 4]
    assert len(scheduler) == 0


def test_a_batch_has_one_segment_and_begins_with_the_request_that_waited_longest(make_work: Make) -> None:
    scheduler = Scheduler(10)
    for number, split in enumerate((2, 1, 1, 2, 1)):
        scheduler.put(make_work(number, split=split))
    assert sequences(scheduler.take(8)) == [0, 3]
    assert sequences(scheduler.take(8)) == [1, 2, 4]


def test_what_goes_on_shares_its_next_batch_with_what_enters_there(make_work: Make) -> None:
    scheduler = Scheduler(10)
    scheduler.put(make_work(0, split=1))
    [task] = scheduler.take(8)
    scheduler.put(make_work(1, split=2))
    scheduler.put(make_work(2, split=1))
    task.segment += 1
    scheduler.resume([task])
    assert len(scheduler) == 3
    together = scheduler.take(8)
    assert sequences(together) == [0, 1]
    assert {one.segment for one in together} == {3}
    assert sequences(scheduler.take(8)) == [2]


def test_devices_take_turns(make_work: Make) -> None:
    scheduler = Scheduler(100)
    for number in range(6):
        scheduler.put(of(make_work(number), "greedy"))
    for number, device in ((10, "b"), (11, "c"), (12, "b")):
        scheduler.put(of(make_work(number), device))
    assert sequences(scheduler.take(3)) == [0, 10, 11]
    assert sequences(scheduler.take(2)) == [1, 12]
    # somebody new does not overtake what has waited for its turn, nor wait behind all that others have sent
    scheduler.put(of(make_work(13), "d"))
    assert sequences(scheduler.take(8)) == [13, 2, 3, 4, 5]


def test_within_a_turn_the_earliest_deadline_goes_first(make_work: Make) -> None:
    scheduler = Scheduler(10, clock=lambda: NOW)
    for number, seconds in enumerate((9.0, 3.0, 6.0)):
        scheduler.put(of(make_work(number), f"d{number}", deadline=NOW + seconds))
    scheduler.put(of(make_work(3), "d3"))
    assert sequences(scheduler.take(8)) == [1, 2, 0, 3]


def test_late_requests_come_after_those_in_time_and_audit_samples_last(make_work: Make) -> None:
    time = [NOW]
    scheduler = Scheduler(10, clock=lambda: time[0])
    scheduler.put(of(make_work(0, audit=True), "a"))
    scheduler.put(of(make_work(1), "b", deadline=NOW + 1))
    scheduler.put(of(make_work(2), "c", deadline=NOW + 9))
    time[0] += 2
    assert scheduler.waiting(audit=True) == 1
    assert scheduler.waiting(audit=False) == 2
    assert [sequences(scheduler.take(1)) for _ in range(3)] == [[2], [1], [0]]


def test_a_group_with_requests_in_time_goes_before_one_with_late_ones(make_work: Make) -> None:
    scheduler = Scheduler(10, clock=lambda: NOW)
    scheduler.put(of(make_work(0, split=1), "a", deadline=NOW - 1))
    scheduler.put(of(make_work(1, split=2), "b", deadline=NOW + 1))
    assert sequences(scheduler.take(8)) == [1]
    assert sequences(scheduler.take(8)) == [0]


def test_a_full_scheduler_refuses_the_newest(make_work: Make) -> None:
    scheduler = Scheduler(2)
    scheduler.put(make_work(0))
    scheduler.put(make_work(1))
    admission = scheduler.put(make_work(2))
    assert (admission.shed, admission.victim, admission.refused) == (Refusal.FULL, None, True)
    assert sequences(scheduler.take(8)) == [0, 1]


def test_a_full_scheduler_sheds_the_late_first_then_the_newest_audit_sample(make_work: Make) -> None:
    time = [NOW]
    scheduler = Scheduler(5, clock=lambda: time[0])
    for number, (audit, deadline) in enumerate(((True, 9.0), (False, 2.0), (True, 9.0), (False, 1.0), (False, 9.0))):
        scheduler.put(replace(make_work(number, audit=audit), deadline=NOW + deadline))
    time[0] += 3
    shed = [scheduler.put(make_work(number)) for number in range(5, 10)]
    assert [(one.shed, one.victim and one.victim.key.sequence) for one in shed] == [
        (Refusal.EXPIRED, 3),
        (Refusal.EXPIRED, 1),
        (Refusal.AUDIT, 2),
        (Refusal.AUDIT, 0),
        (Refusal.FULL, None),
    ]
    assert sequences(scheduler.take(8)) == [4, 5, 6, 7, 8]


def test_an_audit_sample_displaces_nothing_but_what_is_late(make_work: Make) -> None:
    scheduler = Scheduler(1, clock=lambda: NOW)
    scheduler.put(make_work(0, audit=True))
    assert scheduler.put(make_work(1, audit=True)).shed is Refusal.AUDIT
    assert sequences(scheduler.take(8)) == [0]
    scheduler.put(replace(make_work(2), deadline=NOW - 1))
    assert scheduler.put(make_work(3, audit=True)).shed is Refusal.EXPIRED
    assert sequences(scheduler.take(8)) == [3]


def test_what_was_begun_is_not_shed(make_work: Make) -> None:
    scheduler = Scheduler(1, clock=lambda: NOW)
    scheduler.put(replace(make_work(0, audit=True), deadline=NOW - 1))
    [task] = scheduler.take(8)
    task.segment += 1
    scheduler.resume([task])
    assert scheduler.put(make_work(1)).shed is Refusal.FULL
    assert sequences(scheduler.take(8)) == [0]


def test_a_closed_scheduler_refuses_but_hands_out_what_waits_and_what_comes_back(make_work: Make) -> None:
    scheduler = Scheduler(4)
    scheduler.put(make_work(0))
    scheduler.close()
    assert scheduler.put(make_work(1)).shed is Refusal.CLOSED
    batch = scheduler.take(8)
    assert sequences(batch) == [0]
    batch[0].segment += 1
    scheduler.resume(batch)
    assert sequences(scheduler.take(8)) == [0]
    assert scheduler.take(8) == []


def test_discard_gives_everything_back_in_order(make_work: Make) -> None:
    scheduler = Scheduler(4)
    for number, split in enumerate((2, 1, 2)):
        scheduler.put(make_work(number, split=split))
    assert sequences(scheduler.discard()) == [0, 1, 2]
    assert scheduler.take(8) == []
    assert len(scheduler) == scheduler.waiting(audit=False) == 0


def test_a_waiting_take_is_woken_by_a_request_and_by_closing(make_work: Make) -> None:
    scheduler, taken = Scheduler(4), []

    def work() -> None:
        while batch := scheduler.take(8):
            taken.extend(batch)

    thread = threading.Thread(target=work)
    thread.start()
    scheduler.put(make_work(0))
    wait_until(lambda: taken, "the request is taken")
    scheduler.close()
    thread.join(10)
    assert not thread.is_alive()
    assert sequences(taken) == [0]


def test_a_lingering_take_fills_its_batch(make_work: Make) -> None:
    scheduler, taken = Scheduler(8), []
    scheduler.put(make_work(0))
    thread = threading.Thread(target=lambda: taken.append(scheduler.take(3, linger_s=60)))
    thread.start()
    scheduler.put(make_work(1))
    scheduler.put(make_work(2, split=2))
    scheduler.put(make_work(3))
    thread.join(10)
    assert not thread.is_alive()
    assert sequences(taken[0]) == [0, 1, 3]


def test_the_oldest_of_each_kind_is_known(make_work: Make) -> None:
    scheduler = Scheduler(8, clock=lambda: NOW)
    assert scheduler.oldest_s(audit=False) == 0
    scheduler.put(replace(make_work(0), arrived=NOW - 3))
    scheduler.put(replace(make_work(1), arrived=NOW - 5))
    scheduler.put(replace(make_work(2, audit=True), arrived=NOW - 7))
    assert scheduler.oldest_s(audit=False) == 5
    assert scheduler.oldest_s(audit=True) == 7


@pytest.fixture(scope="module")
def template() -> Work:
    """A request whose content does not matter."""
    model = SimpleNamespace(bundle_id="b")
    request = OffloadRequest(
        site="lab",
        device="d",
        boot=1,
        sequence=0,
        bundle="b",
        split=1,
        features=EncodedFeatures("float32", None, b"", 0),
    )
    incoming = Incoming(topic="", payload=b"", qos=1, retain=False)
    return Work(RequestKey("lab", "d", 1, 0, "b", 1, 0), request, model, NOW, incoming)  # type: ignore[arg-type]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(1, 3), st.booleans(), st.integers(-5, 5), st.integers(0, 3)),
        max_size=60,
    ),
    st.integers(1, 8),
)
def test_every_request_is_taken_or_shed_once_and_nothing_is_kept(template: Work, events: list, limit: int) -> None:
    """Whatever comes in whatever order, with batches taken and brought back in between."""
    scheduler = Scheduler(limit, clock=lambda: NOW)
    shed, done = [], []

    def step() -> None:
        batch = scheduler.take(4)
        assert len({task.segment for task in batch}) == 1
        for task in batch:
            task.segment += 1
        scheduler.resume(task for task in batch if task.segment < 4)
        done.extend(task.work for task in batch if task.segment >= 4)

    for number, (device, split, audit, deadline, steps) in enumerate(events):
        key = template.key._replace(device=device, sequence=number)
        request = msgspec.structs.replace(template.request, split=split, audit=audit)
        work = replace(template, key=key, request=request, deadline=NOW + deadline)
        admission = scheduler.put(work)
        if admission.shed is not None:
            shed.append(admission.victim or work)
        assert len(scheduler) <= limit
        for _ in range(min(steps, len(scheduler))):
            if len(scheduler):
                step()
    while len(scheduler):
        step()
    assert sorted(work.key.sequence for work in shed + done) == list(range(len(events)))
    assert scheduler.waiting(audit=True) == scheduler.waiting(audit=False) == 0
    assert not scheduler._groups


def test_tables_do_not_grow_with_what_has_gone(template: Work) -> None:
    scheduler = Scheduler(5, clock=lambda: NOW)
    for number in range(1000):
        key = template.key._replace(device=f"device-{number}", sequence=number)
        request = msgspec.structs.replace(template.request, audit=number % 2 == 0)
        scheduler.put(replace(template, key=key, request=request, deadline=NOW + 1))
        scheduler.take(1)
    for table in (scheduler._deadlines, scheduler._newest_audits, scheduler._next_turns):
        assert len(table) <= KEPT * 5 + 1
