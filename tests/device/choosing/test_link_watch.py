from __future__ import annotations

import pytest

from device.choosing.link_watch import MOST_UNDER_WAY, LinkWatch
from device.choosing.measurements import Measurements


def measure(watch: LinkWatch, now: float, outbox: int = 0, *, connected: bool = True) -> Measurements:
    return watch.measure(now, 10.0, outbox, connected, lambda n_bytes: 50.0 + n_bytes)


def test_round_trips_strain_and_bytes() -> None:
    watch = LinkWatch()
    for index, seconds in enumerate([0.1, 0.1, 0.1, 0.5]):
        watch.sent((1, index), 50, float(index))
        watch.answered((1, index), index + seconds)
    found = measure(watch, 4.0)
    assert (found.trips, found.waiting_ms, found.overdue_share) == (4, 0.0, 0.0)
    assert (found.trip_p50_ms, found.trip_p95_ms, found.strain) == pytest.approx((100.0, 500.0, 5.0))
    assert found.delivered_bytes_s == pytest.approx(150 / 3.4)
    assert found.since_result_s == pytest.approx(0.5)
    assert measure(watch, 12.0).trips == 2, "two have left the window"
    assert measure(watch, 60.0).trips == 0


def test_a_request_counts_from_its_first_sending_and_from_the_next_connection() -> None:
    watch = LinkWatch()
    watch.sent((1, 1), 50, 0.0)
    watch.sent((1, 1), 50, 2.0)
    assert measure(watch, 3.0).waiting_ms == pytest.approx(3000.0)
    watch.renewed()
    assert measure(watch, 3.0).waiting_ms == 0.0
    watch.sent((1, 1), 50, 3.0)
    watch.answered((1, 1), 3.1)
    assert measure(watch, 4.0).trip_p95_ms == pytest.approx(100.0)
    watch.answered((1, 1), 3.5)
    assert measure(watch, 4.0).trips == 1, "a repeated result is no trip"


def test_one_request_that_waits_is_no_strain_and_three_are() -> None:
    watch = LinkWatch()
    watch.sent((1, 1), 50, 0.0)
    watch.sent((1, 2), 50, 1.0)
    assert measure(watch, 3.0).waiting_strain == 0.0
    watch.sent((1, 3), 50, 2.0)
    assert measure(watch, 3.0).waiting_strain == pytest.approx(10.0)
    watch.forgotten((1, 1))
    assert measure(watch, 3.0).waiting_ms == pytest.approx(2000.0)


def test_missed_deadlines_count_whether_the_result_comes_or_not() -> None:
    watch = LinkWatch()
    for index in range(4):
        watch.sent((1, index), 50, 0.0)
    watch.overdue((1, 0))
    watch.overdue((1, 1))
    watch.overdue((9, 9))
    for index in (0, 2, 3):
        watch.answered((1, index), 3.0)
    assert measure(watch, 4.0).overdue_share == pytest.approx(0.5)


def test_a_lost_audit_sample_is_forgotten_when_a_later_one_is_answered() -> None:
    watch = LinkWatch()
    watch.sent((1, 1), 50, 0.0, audit=True)
    watch.sent((1, 2), 50, 1.0)
    watch.sent((1, 3), 50, 2.0, audit=True)
    watch.answered((1, 3), 2.1)
    assert measure(watch, 3.0).waiting_ms == pytest.approx(2000.0), "a request is sent until it is answered"
    watch.answered((1, 2), 3.0)
    assert not watch.waits_for_something


def test_growth_of_the_outbox_and_absence_of_the_broker() -> None:
    watch = LinkWatch()
    assert measure(watch, 0.0, 10).outbox_growth_s == 0.0
    assert measure(watch, 4.0, 18).outbox_growth_s == pytest.approx(2.0)
    assert measure(watch, 5.0, connected=False).away_s == 0.0
    assert measure(watch, 8.0, connected=False).away_s == pytest.approx(3.0)
    assert measure(watch, 9.0).away_s == 0.0


def test_spectra_a_second_and_a_fresh_start() -> None:
    watch = LinkWatch()
    for moment in (0.0, 0.5, 1.0, 1.5, 2.0):
        watch.spectrum(moment)
    watch.sent((1, 1), 50, 0.0)
    watch.answered((1, 1), 1.0)
    assert measure(watch, 2.0).spectra_s == pytest.approx(2.0)
    watch.start_anew()
    assert measure(watch, 2.0).trips == 0


def test_its_memory_is_bounded() -> None:
    watch = LinkWatch()
    for index in range(3 * MOST_UNDER_WAY):
        watch.sent((1, index), 1, float(index))
        watch.overdue((1, index))
    assert len(watch._under_way) == len(watch._overdue) == MOST_UNDER_WAY
