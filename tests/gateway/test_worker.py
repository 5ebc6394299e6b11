"""Batches step by step: the same answers as one by one, with less work; and the worker when an engine fails."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from msgspec.structs import replace
from support_bundle import DeviceSide, spectra
from support_gateway import answers_of, decoded

from gateway.engine import OnnxEngine
from gateway.monitoring import Metrics
from gateway.scheduling import Scheduler
from gateway.step import run_step
from gateway.work import Task, Work
from gateway.worker import BatchWorker
from specnet.errors import EngineMemoryError, ModelError
from specnet.runtime import SegmentOutput
from specnet.wire import Result

Make = Callable[..., Work]


class RecordingEngine(OnnxEngine):
    """The real engine; notes how many requests each segment got, and fails where a test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[int, int]] = []
        self.fails: Callable[[int, np.ndarray], bool] = lambda index, features: False
        self.lacks_memory: Callable[[np.ndarray], bool] = lambda features: False
        self.spoils = False

    def run(self, bundle_id: str, segment_index: int, features: np.ndarray) -> SegmentOutput:
        self.rows.append((segment_index, len(features)))
        if self.fails(segment_index, features):
            raise RuntimeError("out of memory")
        if self.lacks_memory(features):
            raise EngineMemoryError("no memory")
        output = super().run(bundle_id, segment_index, features)
        if self.spoils:
            return SegmentOutput(output.logits * np.nan, output.features, output.depth)
        return output


@pytest.fixture
def engine() -> RecordingEngine:
    return RecordingEngine()


@pytest.mark.parametrize("split", [0, 1, 2])
def test_a_batch_gives_the_answers_of_single_requests(
    engine: RecordingEngine, make_work: Make, device_side: DeviceSide, split: int
) -> None:
    batch = [make_work(number, split=split) for number in range(50)]
    measured = spectra(200)
    answers = answers_of(engine, batch)
    assert sorted(task.work.key.sequence for task, _ in answers) == list(range(50))
    for task, answer in answers:
        expected = device_side.expected(measured[task.work.key.sequence], split=split)
        assert (answer.label, answer.exit_index, task.macs) == (expected.label, expected.exit_index, expected.macs)
        assert answer.probability == pytest.approx(expected.probability, abs=1e-6)


def test_each_segment_runs_only_the_requests_that_are_still_undecided(engine: RecordingEngine, make_work: Make) -> None:
    batch = [make_work(number, split=0) for number in range(50)]
    engine.rows.clear()
    left = [answer.exit_index for _, answer in answers_of(engine, batch)]
    assert engine.rows == [(1, 50), (2, 50 - left.count(1)), (3, left.count(3))]
    assert 0 < left.count(3) < 50 - left.count(1) < 50


def test_logits_that_are_not_finite_are_no_answer(engine: RecordingEngine, make_work: Make) -> None:
    [task] = decoded(make_work(0))
    before = task.segment, task.macs, task.compute_s
    engine.spoils = True
    with pytest.raises(ModelError, match="segment 2 gives logits that are not finite"):
        run_step(engine, [task])
    assert (task.segment, task.macs, task.compute_s) == before


def test_requests_of_two_splits_share_the_segments_that_both_need(
    engine: RecordingEngine, make_work: Make, device_side: DeviceSide
) -> None:
    works = [make_work(number, split=split) for split in (1, 2) for number in range(25)]
    engine.rows.clear()
    measured = spectra(200)
    results, _ = served(engine, works)
    for number, found in results.items():
        expected = {device_side.expected(measured[number], split=split).label for split in (1, 2)}
        assert {result.label for result in found} <= expected
    second, third = engine.rows
    assert second == (2, 25)
    assert third[0] == 3
    assert third[1] > 25


def served(
    engine: RecordingEngine, works: list[Work], given_up: list[tuple[int, str]] | None = None
) -> tuple[dict[int, list[Result]], Metrics]:
    """Results by sequence after a worker has gone through all; what it gives up goes into `given_up`."""
    lost = [] if given_up is None else given_up
    scheduler, metrics, results = Scheduler(100), Metrics(), {}
    for work in works:
        scheduler.put(work)
    scheduler.close()
    worker = BatchWorker(
        engine,
        scheduler,
        metrics,
        lambda work, result: results.setdefault(work.key.sequence, []).append(result),
        lambda works, reason: lost.extend((work.key.sequence, reason) for work in works),
        gateway="here",
        max_batch=100,
    )
    worker.start()
    assert worker.join(30)
    return results, metrics


def errors(metrics: Metrics, reason: str) -> float:
    return metrics.registry.get_sample_value("specnet_gateway_errors_total", {"reason": reason}) or 0.0


def test_a_request_that_has_no_memory_even_alone_is_left_to_be_sent_again(
    engine: RecordingEngine, make_work: Make
) -> None:
    works = [make_work(number) for number in range(20)]
    [large] = [task.features for task in decoded(works[7])]
    engine.lacks_memory = lambda features: any(np.array_equal(row, large) for row in features)
    given_up: list[tuple[int, str]] = []
    results, metrics = served(engine, works, given_up)
    assert given_up == [(7, "memory")]
    assert sorted(results) == [number for number in range(20) if number != 7]
    assert not any(result.error for found in results.values() for result in found)
    assert errors(metrics, "compute") == 0


def test_one_request_that_breaks_the_engine_does_not_take_its_batch_along(
    engine: RecordingEngine, make_work: Make, device_side: DeviceSide
) -> None:
    works = [make_work(number) for number in range(20)]
    [poison] = [task.features for task in decoded(works[7])]
    engine.fails = lambda index, features: index == 2 and any(np.array_equal(row, poison) for row in features)
    results, metrics = served(engine, works)
    assert all(len(found) == 1 for found in results.values())
    assert "out of memory" in results[7][0].error
    measured = spectra(200)
    assert [results[n][0].label for n in results if n != 7] == [
        device_side.expected(measured[n]).label for n in results if n != 7
    ]
    assert sorted(results) == list(range(20))
    assert errors(metrics, "compute") == 1


def test_a_failure_that_passes_costs_nothing_and_early_answers_are_not_repeated(
    engine: RecordingEngine, make_work: Make
) -> None:
    works = [make_work(number) for number in range(20)]
    failures = iter([True])
    engine.fails = lambda index, features: index == 3 and next(failures, False)
    results, metrics = served(engine, works)
    assert sorted(results) == list(range(20))
    assert all(len(found) == 1 and found[0].error == "" for found in results.values())
    assert {found[0].exit_index for found in results.values()} == {2, 3}
    assert errors(metrics, "compute") == 0


def test_an_error_while_answering_does_not_stop_the_worker(engine: RecordingEngine, make_work: Make) -> None:
    scheduler, metrics, seen = Scheduler(10), Metrics(), []

    def reply(work: Work, result: Result) -> None:
        seen.append(work.key.sequence)
        raise OSError("socket")

    for number in range(3):
        scheduler.put(make_work(number))
    scheduler.close()
    worker = BatchWorker(engine, scheduler, metrics, reply, gateway="here", max_batch=1)
    worker.start()
    assert worker.join(30)
    assert seen == [0, 1, 2]
    assert errors(metrics, "internal") == 3


def test_a_damaged_request_is_answered_with_the_reason_and_the_others_of_its_batch_are_served(
    engine: RecordingEngine, make_work: Make
) -> None:
    works = [make_work(number) for number in range(9)]
    good = works[4].request
    features = replace(good.features, data=good.features.data[:-1] + b"\0\0")
    works[4] = dataclasses.replace(works[4], request=replace(good, features=features))
    works[6] = dataclasses.replace(works[6], request=replace(good, state=b"", packed_state=False, checksum=None))
    results, metrics = served(engine, works)
    assert "checksum" in results[4][0].error
    assert "state has 0 numbers" in results[6][0].error
    assert [number for number, found in sorted(results.items()) if not found[0].error] == [0, 1, 2, 3, 5, 7, 8]
    assert errors(metrics, "features") == errors(metrics, "state") == 1


def test_requests_that_a_fault_of_the_worker_stops_are_given_up_and_nothing_else(
    engine: RecordingEngine, make_work: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler, metrics, answered, lost = Scheduler(100), Metrics(), [], []
    faults = iter([True])

    def resume(tasks: list[Task]) -> None:
        if next(faults, False):
            raise KeyError("a fault")
        Scheduler.resume(scheduler, tasks)

    monkeypatch.setattr(scheduler, "resume", resume)
    for number in range(50):
        scheduler.put(make_work(number, split=0))
    scheduler.close()
    worker = BatchWorker(
        engine,
        scheduler,
        metrics,
        lambda work, result: answered.append(work.key.sequence),
        lambda works, reason: lost.extend((work.key.sequence, reason) for work in works),
        gateway="here",
        max_batch=25,
    )
    worker.start()
    assert worker.join(30)
    assert sorted(lost) == [(number, "internal") for number in range(25)]
    assert sorted(answered) == list(range(25, 50))
    assert errors(metrics, "internal") == 1
