from __future__ import annotations

import random

from device.schedule import SendSchedule


def schedule(window: int = 2, retry_s: float = 1.0, retry_max_s: float = 8.0) -> SendSchedule:
    return SendSchedule(window, retry_s, retry_max_s, random.Random(0))


def keys(*sequences: int) -> list[tuple[int, int]]:
    return [(1, sequence) for sequence in sequences]


def test_the_window_is_filled_oldest_first_and_moves_on_when_one_is_answered() -> None:
    plan = schedule()
    for key in keys(0, 1, 2, 3):
        plan.add(key)
    assert plan.due(0.0) == keys(0, 1)
    for key in plan.due(0.0):
        assert plan.sent(key, 0.0)
    assert plan.due(0.0) == []
    plan.remove((1, 0))
    assert plan.due(0.0) == keys(2)


def test_pauses_double_up_to_the_limit_with_jitter() -> None:
    plan = schedule()
    plan.add((1, 0))
    now, pauses = 0.0, []
    for _ in range(8):
        assert plan.due(now) == keys(0)
        plan.sent((1, 0), now)
        due = plan.next_time()
        assert due is not None
        assert plan.due(due - 1e-9) == []
        pauses.append(due - now)
        now = due
    for pause, nominal in zip(pauses, [1, 2, 4, 8, 8, 8, 8, 8], strict=True):
        assert 0.5 * nominal <= pause <= nominal


def test_a_renewed_connection_makes_everything_due_with_short_pauses() -> None:
    plan = schedule(window=3)
    for key in keys(0, 1, 2):
        plan.add(key)
    for _ in range(5):
        for key in keys(0, 1):
            plan.sent(key, 100.0)
    plan.connection_renewed()
    assert plan.due(0.0) == keys(0, 1, 2)
    assert not plan.sent((1, 0), 200.0)
    plan.remove((1, 1))
    due = plan.next_time()
    assert due is not None
    assert 200.5 <= due <= 201.0


def test_a_thousand_attempts_do_not_overflow() -> None:
    plan = schedule()
    for _ in range(3000):
        plan.sent((1, 0), 0.0)
    assert plan.next_time() is not None


def test_removing_what_is_not_there_is_harmless() -> None:
    plan = schedule()
    plan.remove((9, 9))
    assert plan.next_time() is None
    assert plan.due(0.0) == []
