"""Who trains a trial, and whether that process is still there: seen with real processes that really die."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from specnet.tuning.architecture.heartbeat import Owner, Watch, beating

SAY_WHO = (
    "import json, time; from specnet.tuning.architecture.heartbeat import Owner;"
    "print(json.dumps(Owner.this_process().to_dict()), flush=True); time.sleep(600)"
)
SILENT_S = 90.0


@pytest.fixture
def process() -> Iterator[subprocess.Popen[str]]:
    child = subprocess.Popen([sys.executable, "-c", SAY_WHO], stdout=subprocess.PIPE, text=True)
    yield child
    child.kill()
    child.communicate()


def owner_of(process: subprocess.Popen[str]) -> Owner:
    assert process.stdout is not None
    owner = Owner.from_dict(json.loads(process.stdout.readline()))
    assert owner is not None
    return owner


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_killed_process_is_dead_at_once(process: subprocess.Popen[str]) -> None:
    owner = owner_of(process)
    assert owner.pid == process.pid
    assert not owner.is_dead
    process.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert owner.is_dead  # although nobody has asked for its exit code yet
    process.wait()
    assert owner.is_dead
    assert Watch(SILENT_S).is_dead(0, owner.to_dict(), None)


def test_a_process_with_the_number_of_a_dead_one_is_another() -> None:
    owner = Owner.this_process()
    assert not owner.is_dead
    assert replace(owner, started=owner.started - 1).is_dead


def test_of_another_machine_only_silence_is_known(process: subprocess.Popen[str]) -> None:
    clock = Clock()
    watch = Watch(SILENT_S, clock)
    owner = replace(owner_of(process), machine="elsewhere")
    process.kill()
    process.wait()
    assert not owner.is_dead
    for beat in range(10):
        clock.now += SILENT_S
        assert not watch.is_dead(3, owner.to_dict(), beat)
    clock.now += SILENT_S - 1
    assert not watch.is_dead(3, owner.to_dict(), 9)
    assert not watch.is_dead(4, owner.to_dict(), 9)
    clock.now += 2
    assert watch.is_dead(3, owner.to_dict(), 9)
    assert not watch.is_dead(4, owner.to_dict(), 9)


def test_a_process_that_hangs_is_dead_in_the_end() -> None:
    clock = Clock()
    watch = Watch(SILENT_S, clock)
    alive = Owner.this_process().to_dict()
    assert not watch.is_dead(1, alive, 5)
    clock.now += SILENT_S + 1
    assert watch.is_dead(1, alive, 5)


@pytest.mark.parametrize("owner", [None, 7, {}, {"pid": 1}, {"machine": "a", "pid": 1, "started": 2, "more": 3}])
def test_an_owner_that_wrote_nothing_of_use_is_waited_for(owner: object) -> None:
    clock = Clock()
    watch = Watch(SILENT_S, clock)
    assert not watch.is_dead(0, owner, None)
    clock.now += SILENT_S + 1
    assert watch.is_dead(0, owner, None)


def test_beats_come_until_the_end_whatever_the_storage_says() -> None:
    beats: list[float] = []
    enough = threading.Event()

    def write(beat: float) -> None:
        beats.append(beat)
        if len(beats) == 3:
            enough.set()
        raise OSError("away")

    with beating(write, every_s=0.01):
        assert enough.wait(30)
    after = len(beats)
    assert len(set(beats)) == after
    assert not any(thread.name == "heartbeat" for thread in threading.enumerate())
