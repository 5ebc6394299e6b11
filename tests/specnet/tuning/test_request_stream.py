"""Latencies of requests that follow one another over a link, against what can be worked out by hand."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from support_profiles import device_profile

from specnet.calibration import CachedLogits
from specnet.calibration.exit_table import ExitTable
from specnet.profiles import LINK_PRESETS, LinkProfile, Quantiles
from specnet.tuning.latency import Conditions, cost_of, draw_times, latencies_ms, result_air_ms
from specnet.tuning.options import Placed

N = 64
BYTES = 100
ALL_SENT = np.full(N, 2)
# preprocessing, segments 0 and 1 with their decisions, the codec, and segment 2 on the other side
LOCAL_MS, ENCODING_MS, THERE_MS = 0.005, 0.001, 0.001


def placed() -> Placed:
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((3, N, 2)).astype(np.float32)
    macs = np.repeat([[1], [2], [3]], N, axis=1)
    cached = CachedLogits(logits, np.zeros(N, np.int64), macs, 3)
    table = ExitTable(rng.random((3, N), dtype=np.float32), np.ones((3, N), np.bool_), macs)
    return Placed(1, "int8", cached, np.full(N, BYTES), table)


def conditions(link: LinkProfile, per_hour: float, **device: object) -> Conditions:
    one = Quantiles.constant(1.0)
    plain = {
        "preprocessing_us": one,
        "policy_us": one,
        "segments_us": dict.fromkeys("012", one),
        "codecs_us": {"1:int8": one},
    }
    return Conditions(msgspec.structs.replace(device_profile(), **{**plain, **device}), link, None, per_hour)


def total(under: Conditions) -> np.ndarray:
    option = placed()
    return latencies_ms(option, draw_times(option, under), ALL_SENT, under)


def plain_link(**changes: object) -> LinkProfile:
    return msgspec.structs.replace(
        LINK_PRESETS["ethernet"], **{"round_trip_ms": Quantiles.constant(20.0), "loss": 0.0, **changes}
    )


def test_a_request_that_waits_for_none_takes_the_sum_of_its_parts():
    link = plain_link()
    expected = LOCAL_MS + ENCODING_MS + 1e3 * link.air_time_s(BYTES) + 20.0 + THERE_MS + result_air_ms(link)
    assert total(conditions(link, 3600.0)) == pytest.approx(expected)


def test_the_disk_counts_where_it_is_slower_than_the_way():
    link = plain_link()
    slow = conditions(link, 3600.0, outbox_us=Quantiles.constant(50_000.0))
    assert total(slow) == pytest.approx(LOCAL_MS + ENCODING_MS + 50.0)
    quick = conditions(link, 3600.0, outbox_us=Quantiles.constant(10_000.0))
    assert total(quick) == pytest.approx(total(conditions(link, 3600.0)))


def test_a_late_request_holds_up_those_behind_it_over_mqtt_alone():
    trips = LINK_PRESETS["nb-iot"].round_trip_ms
    link = plain_link(round_trip_ms=trips)
    seldom, often = (total(conditions(link, rate)) for rate in (1.0, 36_000.0))
    assert np.median(seldom) == pytest.approx(trips.p50, rel=0.1)
    # ten a second: nearly always one of those in front is among the slowest
    assert np.median(often) > 3 * trips.p50
    assert often.max() <= trips.values[-1] + 50.0
    lora = msgspec.structs.replace(LINK_PRESETS["lorawan-dr5"], round_trip_ms=trips, loss=0.0, duty_cycle=1.0)
    assert np.median(total(conditions(lora, 3600.0))) == pytest.approx(
        trips.p50 + 1e3 * lora.air_time_s(BYTES), rel=0.1
    )


def test_requests_wait_until_the_link_is_free():
    link = plain_link(uplink_bits_s=8 * (BYTES + LINK_PRESETS["ethernet"].overhead_bytes))  # one a second
    under = conditions(link, 3599.0)
    assert total(under) == pytest.approx(total(conditions(link, 36.0)))
    sent = np.where(np.arange(N) % 2, 2, 1)
    option = placed()
    crowded = conditions(link, 6800.0)
    times = draw_times(option, crowded)
    waits = latencies_ms(option, times, sent, crowded)[sent[times.rows] == 2]
    alone = total(under).max()
    assert waits.min() == pytest.approx(alone)
    assert waits.max() > 2 * alone
    assert cost_of(option, times, ALL_SENT, crowded).p50_ms == np.inf
