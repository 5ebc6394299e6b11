"""Pauses between attempts."""

from __future__ import annotations

import random

from specnet.mqtt.backoff import STABLE_S, BackOff


def test_pauses_double_up_to_the_bound_with_jitter_below() -> None:
    back_off = BackOff(0.2, 30.0, random.Random(1))
    pauses = [back_off.after(0.0) for _ in range(2000)]
    for attempt, pause in enumerate(pauses):
        whole = min(30.0, 0.2 * 2.0 ** min(attempt, 32))
        assert whole / 2 <= pause <= whole
    assert len(set(pauses)) == len(pauses)


def test_only_a_connection_that_lasted_starts_over() -> None:
    back_off = BackOff(1.0, 64.0, random.Random(1))
    for _ in range(5):
        back_off.after(0.0)
    assert back_off.after(STABLE_S / 2) >= 16.0
    assert back_off.after(STABLE_S) <= 1.0


def test_two_devices_do_not_come_back_together() -> None:
    first, second = (BackOff(1.0, 64.0, random.Random()) for _ in range(2))
    assert [first.after(0.0) for _ in range(8)] != [second.after(0.0) for _ in range(8)]
