"""What systemd is told of a gateway: ready when it can serve, alive while it answers, and how it ends."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from support_broker import Broker
from support_bundle import DeviceSide, spectra
from support_gateway import DeviceEnd, GatewayProcess
from support_systemd import Manager, manager_at

from gateway.vitality import Vitality
from specnet.systemd import Notifier


@pytest.fixture
def manager() -> Iterator[Manager]:
    with manager_at(f"@specnet-gateway-test-{secrets.token_hex(8)}") as manager:
        yield manager


class Gateway:
    """What `Vitality` looks at, as plain values."""

    def __init__(self, manager: Manager) -> None:
        self.now = 1000.0
        self.problems: list[str] = []
        self.alive = True
        self.under_way = self.replies = 0
        self.vitality = Vitality(
            Notifier({"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "1"}),
            problems=lambda: self.problems,
            alive=lambda: self.alive,
            under_way=lambda: self.under_way,
            replies=lambda: self.replies,
            clock=lambda: self.now,
        )

    def look(self, seconds_later: float = 1.0) -> bool:
        self.now += seconds_later
        return self.vitality.look()


def said(manager: Manager) -> list[str]:
    messages = []
    manager.socket.setblocking(False)
    try:
        while True:
            messages.append(manager.receive())
    except BlockingIOError:
        return messages
    finally:
        manager.socket.settimeout(30)


def test_ready_is_said_once_nothing_is_in_the_way_and_until_then_more_time_is_asked_for(manager: Manager) -> None:
    gateway = Gateway(manager)
    gateway.problems = ["not connected to broker x:1883", "no bundle"]
    assert gateway.look()
    waiting = "EXTEND_TIMEOUT_USEC=60000000\nSTATUS=waiting: not connected to broker x:1883; no bundle"
    assert said(manager) == ["WATCHDOG=1", waiting]
    gateway.problems = []
    gateway.look()
    assert said(manager) == ["WATCHDOG=1", "READY=1\nSTATUS=serving"]
    gateway.look()
    assert said(manager) == ["WATCHDOG=1"]
    # a broker that goes away later changes the status, and ready stays said
    gateway.problems = ["not connected to broker x:1883"]
    gateway.look()
    gateway.problems = []
    gateway.look()
    assert said(manager) == [
        "WATCHDOG=1",
        "STATUS=not connected to broker x:1883",
        "WATCHDOG=1",
        "STATUS=serving",
    ]


def test_the_promise_is_renewed_by_results_and_by_having_nothing_to_do_only(manager: Manager) -> None:
    gateway = Gateway(manager)
    gateway.vitality.patience_s = 30.0
    outcomes = []
    for under_way, replies in ((0, 0), (5, 0), (5, 0), (5, 1), (5, 1), (5, 1), (0, 1)):
        gateway.under_way, gateway.replies = under_way, replies
        outcomes.append(gateway.look(20.0))
    # 40 s without a result at the third look and at the sixth
    assert outcomes == [True, True, False, True, True, False, True]
    assert said(manager).count("WATCHDOG=1") == outcomes.count(True)


def test_a_dead_worker_gives_no_sign_of_life_and_gets_no_more_time_to_start(manager: Manager) -> None:
    gateway = Gateway(manager)
    gateway.alive, gateway.problems = False, ["the worker does not run"]
    assert not gateway.look()
    assert said(manager) == ["STATUS=the worker does not run"]


def test_a_gateway_says_when_it_waits_serves_lives_and_ends(
    store: Path, broker: Broker, manager: Manager, device_side: DeviceSide
) -> None:
    broker.stop()
    told = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "200000"}
    with GatewayProcess(store, broker, **told) as gateway:
        for message in manager.wait_for(f"STATUS=waiting: not connected to broker {broker.host}:{broker.port}"):
            assert "READY=1" not in message
        broker.start()
        manager.wait_for("READY=1")
        with DeviceEnd(broker) as device:
            device.ask(device_side.request(spectra(1)[0], 1))
        for _ in range(3):
            manager.wait_for("WATCHDOG=1")
        assert gateway.terminate() == 0
        [*_, last] = manager.wait_for("STOPPING=1")
        # drain_s and what follows it
        assert last == "STOPPING=1\nEXTEND_TIMEOUT_USEC=22000000"


def test_a_broker_that_goes_away_is_no_reason_to_be_killed(store: Path, broker: Broker, manager: Manager) -> None:
    with GatewayProcess(store, broker, NOTIFY_SOCKET=manager.address, WATCHDOG_USEC="200000") as gateway:
        manager.wait_for("READY=1")
        broker.kill()
        manager.wait_for(f"STATUS=not connected to broker {broker.host}:{broker.port}")
        for _ in range(3):
            manager.wait_for("WATCHDOG=1")
        assert gateway.get("/healthz")[0] == 503
