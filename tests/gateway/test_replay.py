"""Old requests are refused when their device has gone on, and never when it may still wait for them."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from support_broker import Broker, wait_until
from support_bundle import DeviceSide, spectra
from support_gateway import DeviceEnd, GatewayProcess

from gateway.answers import RequestKey
from gateway.intake import RefusedRequest
from gateway.replay import MAX_BOOTS, ReplayGuard
from specnet.codec import EncodedFeatures
from specnet.wire import OffloadRequest

WINDOW, QUIET_S = 100, 60.0


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def guard(clock: Clock) -> ReplayGuard:
    return ReplayGuard(WINDOW, 3, QUIET_S, clock=clock)


def request_of(boot: int, sequence: int, device: str = "node-1") -> tuple[OffloadRequest, RequestKey]:
    features = EncodedFeatures("float32", (1, 1), bytes(4), 0)
    request = OffloadRequest(
        site="lab", device=device, boot=boot, sequence=sequence, bundle="b", split=1, features=features
    )
    return request, RequestKey("lab", device, boot, sequence, "b", 1, 0)


def accepts(guard: ReplayGuard, boot: int, sequence: int, device: str = "node-1") -> bool:
    try:
        guard.refuse_old(*request_of(boot, sequence, device))
    except RefusedRequest:
        return False
    return True


def test_any_order_within_the_window_is_in_order(guard: ReplayGuard) -> None:
    for sequence in (500, 401, 450, 500, 499, 401):
        assert accepts(guard, 1, sequence)


def test_a_request_a_window_behind_is_refused_and_its_device_is_told_by_how_much(guard: ReplayGuard) -> None:
    assert accepts(guard, 1, 500)
    assert not accepts(guard, 1, 400)
    assert not accepts(guard, 1, 0)
    old, key = request_of(1, 0)
    with pytest.raises(RefusedRequest, match="500 spectra behind the latest of its device, less than 100") as caught:
        guard.refuse_old(old, key)
    assert (caught.value.reason, caught.value.request) == ("replayed", old)
    assert accepts(guard, 1, 501)


def test_a_late_request_may_be_days_old_as_long_as_its_device_has_not_gone_on(guard: ReplayGuard, clock: Clock) -> None:
    assert accepts(guard, 1, 500)
    clock.now += 30 * 86_400
    for sequence in (420, 501, 450, 502):
        assert accepts(guard, 1, sequence)


def test_what_an_outbox_kept_over_restarts_comes_through(guard: ReplayGuard) -> None:
    assert accepts(guard, 7, 20)
    # three starts that had hardly a spectrum each
    assert all(accepts(guard, boot, 0) for boot in (8, 9, 10))
    assert accepts(guard, 7, 3)
    assert accepts(guard, 10, 1)


def test_a_request_of_an_earlier_boot_is_refused_once_later_boots_have_had_a_window_of_spectra(
    guard: ReplayGuard,
) -> None:
    assert accepts(guard, 7, 20)
    assert accepts(guard, 8, 50)
    assert accepts(guard, 7, 20)
    assert accepts(guard, 9, 48)  # 51 and 49 spectra since boot 7
    assert not accepts(guard, 7, 20)
    assert accepts(guard, 8, 50)


def test_a_device_whose_storage_was_replaced_counts_anew_after_a_silence(
    guard: ReplayGuard, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    assert accepts(guard, 57, 5000)
    clock.now += QUIET_S - 1
    assert not accepts(guard, 1, 0)
    clock.now += 1  # a refused request does not count as a sign of life
    assert accepts(guard, 1, 1)
    assert "counts anew" in caplog.text
    assert accepts(guard, 1, 0)
    assert accepts(guard, 2, 3)


def test_the_older_life_of_a_device_is_heard_again_at_once(guard: ReplayGuard, clock: Clock) -> None:
    assert accepts(guard, 57, 5000)
    clock.now += QUIET_S
    assert accepts(guard, 1, 9)  # somebody sends an old recording while the device is silent
    assert accepts(guard, 57, 5001)
    assert not accepts(guard, 1, 10)


def test_who_forges_a_number_far_ahead_silences_a_device_for_a_moment_only(guard: ReplayGuard, clock: Clock) -> None:
    assert accepts(guard, 57, 5000)
    assert accepts(guard, 2**53 - 1, 2**53 - 1)
    assert not accepts(guard, 57, 5001)
    clock.now += QUIET_S
    assert accepts(guard, 57, 5002)


def test_devices_do_not_disturb_each_other_and_are_forgotten_beyond_the_bound(guard: ReplayGuard) -> None:
    for number in range(3):
        assert accepts(guard, 1, 500, f"node-{number}")
    assert accepts(guard, 1, 501, "node-0")  # heard last
    assert accepts(guard, 1, 0, "node-new")
    assert len(guard) == 3
    assert not accepts(guard, 1, 0, "node-0")
    assert accepts(guard, 1, 0, "node-1")  # forgotten, and an unknown device is refused nothing


def test_a_device_in_a_loop_of_restarts_takes_bounded_memory(guard: ReplayGuard) -> None:
    for boot in range(10 * MAX_BOOTS):
        assert accepts(guard, boot, 1)
    assert len(guard._devices["lab", "node-1"].latest) == MAX_BOOTS


def test_a_window_of_zero_refuses_and_remembers_nothing() -> None:
    guard = ReplayGuard(0, 3, QUIET_S)
    assert accepts(guard, 5, 10**6)
    assert accepts(guard, 1, 0)
    assert len(guard) == 0


@pytest.mark.parametrize("spread", [1, 7, 60, WINDOW - 1])
def test_no_legitimate_order_is_refused(guard: ReplayGuard, spread: int) -> None:
    """Sequences that come up to `spread` late, over several boots, as a window of requests under way brings them."""
    for boot in (3, 4, 5):
        order = sorted(range(600), key=lambda n: n + (n * 7919) % spread if spread > 1 else n)
        for sequence, repeated in itertools.pairwise(order):
            assert accepts(guard, boot, sequence)
            assert accepts(guard, boot, repeated)


def test_a_recorded_request_is_refused_with_a_reason_and_counted(
    store: Path, broker: Broker, device_side: DeviceSide
) -> None:
    limits = {"SPECNET_GATEWAY_REPLAY_WINDOW": "50", "SPECNET_GATEWAY_ANSWERS": "1"}
    measured = spectra(3)
    with GatewayProcess(store, broker, **limits) as gateway, DeviceEnd(broker) as device:
        recorded = device_side.request(measured[0], 1)
        assert device.ask(recorded)[0].error == ""
        assert device.ask(device_side.request(measured[1], 51))[0].error == ""
        device.send(recorded)
        gateway.wait_metric("errors_total", 1, reason="replayed")
        wait_until(lambda: len(device.results_of(recorded)) == 2, "the device is told")
        assert "50 spectra behind" in device.results_of(recorded)[1].error
        assert gateway.metric("requests_total") == 2
        assert device.ask(device_side.request(measured[2], 52))[0].error == ""


def test_a_repetition_is_answered_from_memory_however_late(
    store: Path, broker: Broker, device_side: DeviceSide
) -> None:
    measured = spectra(2)
    with (
        GatewayProcess(store, broker, SPECNET_GATEWAY_REPLAY_WINDOW="50") as gateway,
        DeviceEnd(broker) as device,
    ):
        first = device_side.request(measured[0], 1)
        [answer] = device.ask(first)
        device.ask(device_side.request(measured[1], 500))
        device.send(first)
        gateway.wait_metric("duplicates_total", 1)
        assert gateway.metric("errors_total", reason="replayed") == 0
        assert answer.error == ""
