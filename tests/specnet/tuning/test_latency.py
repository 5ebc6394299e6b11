"""The model of time and energy, against cases that can be worked out by hand."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from support_profiles import device_profile, gateway_profile
from support_tuning import make_option

from specnet.errors import ConfigurationError
from specnet.profiles import LINK_PRESETS, Quantiles
from specnet.tuning.latency import Conditions, cost_of, draw_times, latencies_ms, usual_answer_bytes

FIXED = Quantiles.constant


def conditions(**changes: Any) -> Conditions:
    """Everything takes the same time always: 100 us before, 1,000 us a segment, 10 us a decision, 50 us to encode."""
    device = msgspec.structs.replace(
        device_profile(),
        preprocessing_us=FIXED(100.0),
        segments_us={str(k): FIXED(1000.0 * (k + 1)) for k in range(4)},
        policy_us=FIXED(10.0),
        codecs_us={"1:int8": FIXED(50.0)},
        active_watts=2.0,
        idle_watts=0.5,
        power="stated",
    )
    link = msgspec.structs.replace(
        LINK_PRESETS["ethernet"],
        round_trip_ms=FIXED(20.0),
        uplink_bits_s=8000.0,
        downlink_bits_s=1e12,
        loss=0.0,
        overhead_bytes=50,
        max_payload_bytes=0,
        duty_cycle=1.0,
        transmit_watts=0.5,
        retry_s=3.0,
    )
    fields: dict[str, Any] = {"device": device, "link": link, "spectra_per_hour": 1e-3}
    return Conditions(**{**fields, **changes})


def test_times_add_up() -> None:
    option, under = make_option(split=1, codec="int8", n_bytes=150), conditions()
    times = draw_times(option, under)
    local = [0.1 + 1.0 + 0.01, 0.1 + 1.0 + 2.0 + 0.02]
    for exit_index, expected in enumerate([*local, local[1], local[1]]):
        assert times.local_ms[exit_index] == pytest.approx(expected)
    assert times.making_ms == pytest.approx(0.05)
    assert times.half_ms == pytest.approx(10.0)
    assert times.air_s == pytest.approx(0.2)  # 200 bytes at 1,000 bytes a second
    assert times.gateway_ms[1] == pytest.approx(0)
    assert times.gateway_ms[2] == pytest.approx(3.0)
    assert times.gateway_ms[3] == pytest.approx(3.0 + 4.0)
    for exit_index, there in ((2, 3.0), (3, 7.0)):
        total = latencies_ms(option, times, np.full(option.table.n_spectra, exit_index), under)
        assert total == pytest.approx(local[1] + 0.05 + 200.0 + 20.0 + there)


def test_shares_energy_and_bytes() -> None:
    option, under = make_option(split=1, codec="int8", n_bytes=150, n=10), conditions()
    times = draw_times(option, under)
    exits = np.array([0] * 6 + [1] * 2 + [2] * 2)
    cost = cost_of(option, times, exits, under)
    assert cost.p50_ms == pytest.approx(1.11)
    assert cost.p95_ms == pytest.approx(3.12 + 223.05, rel=1e-6)
    assert cost.mean_ms == pytest.approx((6 * 1.11 + 4 * 3.12 + 2 * 223.05) / 10)
    assert cost.link_bytes == pytest.approx(0.2 * 200)
    busy_ms = (6 * 1.11 + 4 * 3.12 + 2 * 0.05) / 10
    assert cost.energy_mj == pytest.approx(2.0 * busy_ms + 0.5 * 0.2 * 200)
    nothing = cost_of(option, times, np.zeros(10, dtype=int), under)
    assert (nothing.link_bytes, nothing.link_share) == (0, 0)
    assert nothing.p95_ms == pytest.approx(1.11)


def test_a_gateway_s_own_times_are_used() -> None:
    gateway = msgspec.structs.replace(
        gateway_profile(), segments_us={str(k): FIXED(7.0) for k in range(1, 4)}, batch_us={}
    )
    option = make_option(split=1, codec="int8", n_bytes=150)
    silent = msgspec.structs.replace(gateway, handling_us=None)
    assert draw_times(option, conditions(gateway=silent)).gateway_ms[3] == pytest.approx(2 * 0.007)
    handling = msgspec.structs.replace(gateway, handling_us=FIXED(900.0))
    times = draw_times(option, conditions(gateway=handling))
    assert times.gateway_ms[2] == pytest.approx(0.9 + 0.007)
    assert times.gateway_ms[3] == pytest.approx(0.9 + 2 * 0.007)


def test_published_answers_take_their_share_of_the_link() -> None:
    option = make_option(split=1, codec="int8", n_bytes=150, n=10)
    exits = np.array([0] * 6 + [1] * 2 + [2] * 2)
    silent, under = conditions(spectra_per_hour=360.0), conditions(spectra_per_hour=360.0, answer_bytes=250)
    without, with_answers = (cost_of(option, draw_times(option, c), exits, c) for c in (silent, under))
    assert with_answers.link_bytes - without.link_bytes == pytest.approx(250 + 50)
    assert with_answers.link_share - without.link_share == pytest.approx(0.1 * 0.3)
    assert with_answers.energy_mj - without.energy_mj == pytest.approx(1e3 * 0.5 * 0.3)
    # 1,000 bytes a second: at one spectrum in 0.4 s a request finds the answer of the spectrum before it on the link
    busy = conditions(spectra_per_hour=9000.0, answer_bytes=250)
    sent = np.array([0, 2] * 5)
    times = draw_times(option, busy)
    late = latencies_ms(option, times, sent, busy)
    quiet = latencies_ms(option, times, sent, conditions(spectra_per_hour=9000.0))
    waits = sent[times.rows] == 2
    assert (late >= quiet - 1e-9).all()
    assert late[waits].mean() > quiet[waits].mean() + 50
    lora = conditions(link=msgspec.structs.replace(LINK_PRESETS["lorawan-dr5"]), answer_bytes=250)
    assert (lora.answer_link_bytes, lora.answer_air_s) == (0, 0)


def test_an_answer_of_usual_names_has_its_usual_size() -> None:
    assert 150 <= usual_answer_bytes(["quartz", "calcite"]) <= 190
    assert usual_answer_bytes(["x" * 30]) - usual_answer_bytes(["x" * 10]) == 20
    with pytest.raises(ConfigurationError, match="an answer has 0 to"):
        conditions(answer_bytes=-1)


def test_lost_messages_are_sent_again() -> None:
    link = msgspec.structs.replace(conditions().link, loss=0.25)
    option = make_option(split=1, codec="int8", n_bytes=150, n=4096)
    times = draw_times(option, conditions(link=link))
    assert times.tries == pytest.approx(4 / 3)
    again = np.rint(times.late_ms / 3200).astype(int)
    np.testing.assert_allclose(times.late_ms, 3200 * again, atol=1e-6)
    assert (again == 0).mean() == pytest.approx(0.75, abs=0.03)
    assert again.mean() == pytest.approx(1 / 3, abs=0.04)


def test_payloads_over_the_limit_go_in_pieces() -> None:
    link = msgspec.structs.replace(conditions().link, max_payload_bytes=100)
    option, under = make_option(split=1, codec="int8", n_bytes=150), conditions(link=link)
    times = draw_times(option, under)
    assert times.air_s == pytest.approx((150 + 2 * 50) / 1000)
    everything = np.full(option.table.n_spectra, 3)
    assert cost_of(option, times, everything, under).link_bytes == 150 + 2 * 50


def test_a_link_that_cannot_carry_the_requests_takes_for_ever() -> None:
    option = make_option(split=1, codec="int8", n_bytes=150)
    everything = np.full(option.table.n_spectra, 3)
    for rate, works in ((17_000.0, True), (18_100.0, False)):  # 0.2 s each: 18,000 an hour fill the link
        under = conditions(spectra_per_hour=rate)
        cost = cost_of(option, draw_times(option, under), everything, under)
        assert np.isfinite(cost.p95_ms) == works
        assert cost.link_share == pytest.approx(rate * 0.2 / 3600)
    under = conditions(link=msgspec.structs.replace(conditions().link, duty_cycle=0.01), spectra_per_hour=181.0)
    assert cost_of(option, draw_times(option, under), everything, under).link_share > 1


def test_what_a_profile_lacks_is_named() -> None:
    short = msgspec.structs.replace(conditions().device, segments_us={"0": FIXED(1.0)}, codecs_us={})
    with pytest.raises(ConfigurationError, match="has no time of segment 1, it has 0"):
        draw_times(make_option(split=1, codec="int8", n_bytes=10), conditions(device=short))
    with pytest.raises(ConfigurationError, match="has no time of a codec at split 2, it has 1:int8"):
        draw_times(make_option(split=2, codec="int8", n_bytes=10), conditions())
    with pytest.raises(ConfigurationError, match=r"measured up to .* requests a second, 1e\+06 are to come"):
        draw_times(
            make_option(split=1, codec="int8", n_bytes=10),
            conditions(gateway=gateway_profile(), gateway_requests_s=1e6),
        )


@pytest.mark.parametrize("changes", [{"spectra_per_hour": 0.0}, {"gateway_requests_s": -1.0}])
def test_loads_that_are_none_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match="got"):
        conditions(**changes)


def test_losses_come_in_their_exact_share_and_independently_of_delays() -> None:
    option, under = make_option(split=1, codec="int8", n_bytes=150), conditions(link=LINK_PRESETS["nb-iot"])
    loss, retry_ms = under.link.loss, 1e3 * under.link.retry_s
    few, many = (draw_times(option, under, moments) for moments in (2000, 20_000))
    for times in (few, many):
        n = len(times.rows)
        assert (times.late_ms > 0).sum() == pytest.approx(loss * n, abs=1)
        assert (times.late_ms > 1.5 * retry_ms).sum() == pytest.approx(loss**2 * n, abs=1)
        assert abs(np.corrcoef(times.late_ms, times.half_ms)[0, 1]) < 0.1
    assert len(many.rows) == 10 * len(few.rows)
