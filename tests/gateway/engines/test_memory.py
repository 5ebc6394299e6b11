"""Batches that do not fit: real want of memory in both engines, and what the worker learns from it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support_bundle import DeviceSide, spectra

from gateway.engine import OnnxEngine
from gateway.engines.memory import BatchLimits
from gateway.monitoring import Metrics
from gateway.scheduling import Scheduler
from gateway.work import Work
from gateway.worker import BatchWorker
from specnet.errors import EngineMemoryError
from specnet.runtime import SegmentOutput
from specnet.wire import Result

ROOT = Path(__file__).resolve().parents[3]
GROUP = ("bundle", 2)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_size_that_failed_is_not_tried_again_and_other_groups_go_on() -> None:
    limits = BatchLimits(clock=Clock())
    assert limits.allowed(GROUP, 64) == 64
    limits.failed(GROUP, 64)
    assert limits.allowed(GROUP, 64) == 32
    limits.failed(GROUP, 32)
    assert [limits.allowed(GROUP, n) for n in (50, 16, 2)] == [16, 16, 2]
    assert limits.allowed(("bundle", 3), 64) == 64
    limits.failed(GROUP, 1)
    assert limits.allowed(GROUP, 3) == 1


def test_the_limit_doubles_after_each_pause_and_is_lifted_in_the_end() -> None:
    clock = Clock()
    limits = BatchLimits(60, clock=clock)
    for failed in (64, 32, 16):
        limits.failed(GROUP, failed)
    found = []
    for _ in range(3):
        found.append(limits.allowed(GROUP, 64))
        clock.now += 59.9
        found.append(limits.allowed(GROUP, 64))
        clock.now += 0.1
    assert found == [8, 8, 16, 16, 64, 64]


def test_what_fails_again_waits_twice_as_long_up_to_the_longest_pause() -> None:
    clock = Clock()
    limits = BatchLimits(60, 200, clock=clock)
    limits.failed(GROUP, 64)
    for pause in (60, 120, 200, 200):
        clock.now += pause - 0.1
        assert limits.allowed(GROUP, 64) == 32
        clock.now += 0.1
        assert limits.allowed(GROUP, 64) == 64
        limits.failed(GROUP, 64)


class SmallMemory(OnnxEngine):
    """The real engine, which has memory for `room` spectra only."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room
        self.failed: list[tuple[int, int]] = []

    def run(self, bundle_id: str, segment_index: int, features: np.ndarray) -> SegmentOutput:
        if len(features) > self.room:
            self.failed.append((segment_index, len(features)))
            raise EngineMemoryError(f"no memory for {len(features)}")
        return super().run(bundle_id, segment_index, features)


@pytest.fixture
def engine() -> SmallMemory:
    return SmallMemory(1024)


def test_the_worker_finds_the_size_that_fits_and_keeps_to_it(
    engine: SmallMemory, make_work: Callable[..., Work], device_side: DeviceSide
) -> None:
    engine.room = 7
    scheduler, metrics, results = Scheduler(200), Metrics(), []

    def reply(work: Work, result: Result) -> None:
        results.append(result)

    for number in range(100):
        scheduler.put(make_work(number))
    scheduler.close()
    worker = BatchWorker(engine, scheduler, metrics, reply, gateway="here", max_batch=32)
    worker.start()
    assert worker.join(30)
    measured = spectra(200)
    expected = {n: device_side.expected(measured[n]) for n in range(100)}
    assert {r.sequence: (r.label, r.exit_index, r.macs, r.error) for r in results} == {
        n: (answer.label, answer.exit_index, answer.macs, "") for n, answer in expected.items()
    }
    assert len(results) == 100
    # what is too large for a segment is tried once there, and never again
    assert engine.failed[:3] == [(2, 32), (2, 16), (2, 8)]
    assert len(set(engine.failed)) == len(engine.failed)


PROGRAM = """
import resource, sys
import numpy as np
from pathlib import Path
from gateway.engine import EngineSettings, create_engine
from specnet.bundle import read_bundle
from specnet.errors import EngineMemoryError

bundle = read_bundle(sys.argv[1])
engine = create_engine(EngineSettings(engine=sys.argv[2]))
engine.load(bundle)
shape = bundle.manifest.segments[1].input_shape
few, many = np.zeros((4, *shape), np.float32), np.zeros((100_000, *shape), np.float32)
before = engine.run(bundle.bundle_id, 1, few).logits
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (200 << 20),) * 2)
try:
    engine.run(bundle.bundle_id, 1, many)
except EngineMemoryError as error:
    print(error)
np.testing.assert_array_equal(engine.run(bundle.bundle_id, 1, few).logits, before)
"""


@pytest.mark.parametrize("engine_name", ["onnxruntime", "torch"])
def test_real_want_of_memory_is_told_as_such_and_the_engine_goes_on(
    network_bundle_path: Path, engine_name: str
) -> None:
    child = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(network_bundle_path), engine_name],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    assert "no memory for segment 1 of 100000 spectra" in child.stdout
