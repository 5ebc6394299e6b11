"""What systemd is told, over real datagram sockets, by path and by abstract name."""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from support_broker import wait_until
from support_device import DeviceProcess, serving
from support_systemd import Manager, manager_at

from device.spectrometers.simulator import SimulatedBoard
from specnet.systemd import Notifier, Watchdog
from specnet.upkeep import Upkeep


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    name = str(tmp_path / "notify") if request.param == "path" else f"@specnet-test-{secrets.token_hex(8)}"
    with manager_at(name) as manager:
        yield manager


def test_states_are_lines_of_one_datagram(manager: Manager) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": manager.address})
    notifier.ready("works\nREADY=0")
    notifier.status("still works")
    notifier.ping()
    notifier.stopping()
    received = [manager.receive() for _ in range(4)]
    assert received == ["READY=1\nSTATUS=works READY=0", "STATUS=still works", "WATCHDOG=1", "STOPPING=1"]


@pytest.mark.parametrize("address", ["", "relative", "@", "/" + "x" * 200, "/no/such/socket"])
def test_without_a_manager_nothing_happens(address: str) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": address} if address else {})
    notifier.ready("x")
    notifier.ping()


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"WATCHDOG_USEC": "3000000"}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, 0.0),
        ({"WATCHDOG_USEC": "soon"}, 0.0),
        ({"WATCHDOG_USEC": "-3"}, 0.0),
        ({}, 0.0),
    ],
)
def test_the_watchdog_is_for_this_process(environment: dict[str, str], expected: float) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": "@nobody-listens-here", **environment})
    assert notifier.watchdog_s == expected


def test_pings_stop_when_the_main_loop_does_not_come_back(manager: Manager) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "2"})
    watchdog = Watchdog(notifier)
    assert watchdog.tend() is False  # nothing was promised yet
    assert manager.silent
    watchdog.back_within(60)
    assert watchdog.tend() is True
    assert manager.receive() == "WATCHDOG=1"
    watchdog.back_within(-1)  # the promise was for a moment that has passed
    assert watchdog.tend() is False
    assert manager.silent


def test_upkeep_goes_on_when_a_chore_fails_and_has_a_last_round(caplog: pytest.LogCaptureFixture) -> None:
    rounds: list[int] = []

    def fails() -> None:
        raise RuntimeError("no")

    upkeep = Upkeep((fails, lambda: rounds.append(1)), 0.01)
    upkeep.start()
    wait_until(lambda: len(rounds) >= 3, "three rounds")
    upkeep.stop()
    assert len(rounds) >= 4
    assert caplog.text.count("unexpected error") == 1


def run_device(folder: Path, bundle: Path, board: SimulatedBoard, manager: Manager, **more: str) -> DeviceProcess:
    settings = {"device": "node-1", "uplink.drain_s": 0, "broker.port": 1, "spectrometer.interval_s": 0.01}
    words = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    paths = ["--bundle", bundle, "--state-dir", folder / "state", "--port", board.port]
    return DeviceProcess("run", *paths, *words, NOTIFY_SOCKET=manager.address, **more)


def test_a_device_says_when_it_is_ready_lives_and_ends(
    manager: Manager, tmp_path: Path, tiny_bundle: Path, intensity: NDArray[np.uint16]
) -> None:
    with (
        serving(SimulatedBoard(intensity.astype(np.uint32), loop=True)) as board,
        run_device(tmp_path, tiny_bundle, board, manager, WATCHDOG_USEC="200000") as process,
    ):
        [first] = manager.wait_for("READY=1")
        assert first == "READY=1\nSTATUS=model tiny version 1 (factory), 0 requests wait"
        for _ in range(3):
            assert manager.receive() == "WATCHDOG=1"
        process.signal(signal.SIGTERM)
        assert set(manager.wait_for("STOPPING=1")[:-1]) <= {"WATCHDOG=1"}
        assert process.wait() == 0


def test_a_device_without_its_instrument_still_lives(
    manager: Manager, tmp_path: Path, tiny_bundle: Path, intensity: NDArray[np.uint16]
) -> None:
    with serving(SimulatedBoard(intensity.astype(np.uint32), loop=True)) as board:
        process = run_device(tmp_path, tiny_bundle, board, manager, WATCHDOG_USEC="200000")
        manager.wait_for("READY=1")
        wait_for_answer(process)
    with process:
        process.wait_for(lambda: any("lost" in line for line in process.errors), "the instrument is missed")
        while not manager.silent:
            pass
        for _ in range(3):
            assert manager.receive() == "WATCHDOG=1"
        process.signal(signal.SIGTERM)
        assert process.wait() == 0


def wait_for_answer(process: DeviceProcess) -> None:
    answered: Callable[[], object] = lambda: process.records and len(process.records) > 2  # noqa: E731
    process.wait_for(answered, "answers")
