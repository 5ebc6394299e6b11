"""From the worker to the sink, with sinks that are down, slow or refuse."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from support_broker import wait_until
from support_sinks import ids, records, rows, sample

from gateway.sinks.metrics import SinkMetrics
from gateway.sinks.recorder import ResultRecorder
from gateway.sinks.settings import SinkSettings, SpoolSettings
from gateway.sinks.sink import Sink
from gateway.sinks.spool import Spool
from gateway.sinks.sqlite import SqliteSink
from gateway.work import Work
from specnet.errors import SinkRefusedError
from specnet.wire import Result
from specnet.wire.records import ResultRecord

MakeRecorder = Callable[..., ResultRecorder]


class HeldSink(SqliteSink):
    """The real sink, which writes only while `go` is set."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, 1 << 30, lambda _: None)
        self.go = threading.Event()
        self.entered = threading.Event()

    def write(self, records: Sequence[ResultRecord]) -> None:
        self.entered.set()
        assert self.go.wait(60)
        super().write(records)


class FussySink(SqliteSink):
    """The real sink, which takes no odd spectra."""

    def write(self, records: Sequence[ResultRecord]) -> None:
        if any(record.sequence % 2 for record in records):
            raise SinkRefusedError("odd")
        super().write(records)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "kept" / "results.sqlite"


@pytest.fixture
def make_recorder(tmp_path: Path, registry: CollectorRegistry, results: Path) -> Iterator[MakeRecorder]:
    """Make and start a recorder with quick settings; ``make_recorder(sink=None, batch=..., **spool_settings)``."""
    made: list[ResultRecorder] = []

    def make(sink: Sink | None = None, *, batch: int = 256, **spool: object) -> ResultRecorder:
        settings = SinkSettings(
            batch=batch, retry_min_s=0.01, retry_max_s=0.02, spool=SpoolSettings(**{"gather_s": 0.01, **spool})
        )
        opened = Spool(tmp_path / "state" / "spool-1.sqlite", settings.spool.max_rows, settings.spool.max_bytes)
        sink = sink or SqliteSink(results, 1 << 30, lambda _: None)
        recorder = ResultRecorder(settings, sink, opened, SinkMetrics(registry))
        made.append(recorder)
        recorder.start()
        return recorder

    yield make
    for recorder in made:
        recorder.stop(0)


def result(work: Work, **changes: object) -> Result:
    answer = {"label": 1, "probability": 0.75, "exit_index": 2, "macs": 99, "gateway": "g", **changes}
    key = work.key
    return Result(device=key.device, boot=key.boot, sequence=key.sequence, bundle=key.bundle, **answer)


def test_a_record_says_what_was_asked_and_answered(
    make_recorder: MakeRecorder, make_work: Callable[..., Work], results: Path
) -> None:
    recorder = make_recorder()
    work = make_work(5, audit=True)
    before = time.time()
    recorder.record(work, result(work, queue_ms=1.5, compute_ms=2.5, known=False))
    wait_until(lambda: rows(results), "the result is kept")
    [row] = rows(results)
    assert (row["site"], row["device"], row["boot"], row["sequence"]) == ("lab", "probe-1", 1, 5)
    assert (row["bundle"], row["bundle_name"], row["bundle_version"]) == (work.key.bundle, "hand", 1)
    assert (row["split"], row["checksum"], row["audit"], row["known"]) == (1, work.key.crc32, 1, 0)
    assert (row["label"], row["class_name"], row["probability"], row["exit_index"]) == (1, "calcite", 0.75, 2)
    assert (row["macs"], row["queue_ms"], row["compute_ms"], row["gateway"], row["error"]) == (99, 1.5, 2.5, "g", "")
    own = work.request.provisional
    assert (row["provisional_label"], row["provisional_probability"]) == (own.label, own.probability)
    assert row["provisional_class_name"] == work.model.manifest.classes[own.label]
    assert (row["spectrum"], row["source"]) == (None, None)
    stamp = time.strftime("%Y-%m-%dT%H:%M", time.gmtime(before))
    assert row["time"].startswith(stamp[:13])
    assert row["time"].endswith("+00:00")


def test_an_error_is_kept_without_an_answer(
    make_recorder: MakeRecorder, make_work: Callable[..., Work], results: Path
) -> None:
    recorder, work = make_recorder(), make_work(1)
    recorder.record(work, result(work, label=0, probability=0.0, error="no memory"))
    wait_until(lambda: rows(results), "the result is kept")
    [row] = rows(results)
    assert (row["error"], row["label"], row["class_name"], row["probability"]) == ("no memory", None, "", None)


def test_a_sink_that_is_down_holds_nobody_up_and_gets_everything_later(
    make_recorder: MakeRecorder, make_work: Callable[..., Work], results: Path, registry: CollectorRegistry
) -> None:
    results.parent.write_text("where the folder should be is a file")
    recorder = make_recorder(batch=7)
    works = [make_work(sequence) for sequence in range(50)]
    for work in works:
        recorder.record(work, result(work))
    wait_until(lambda: sample(registry, "sink_failures_total", sink="sqlite") >= 3, "the sink was tried")
    wait_until(lambda: sample(registry, "sink_spool_rows") == 50, "all wait on disk")
    assert sample(registry, "sink_spool_bytes") > 50 * 100
    assert sample(registry, "sink_spool_oldest_age_seconds") > 0
    assert sample(registry, "sink_records_total", sink="sqlite") == 0
    results.parent.unlink()
    wait_until(lambda: sample(registry, "sink_records_total", sink="sqlite") == 50, "all are written")
    assert [row["sequence"] for row in rows(results)] == list(range(50))
    wait_until(lambda: sample(registry, "sink_spool_rows") == 0, "the spool is empty")
    assert sample(registry, "sink_spool_oldest_age_seconds") == 0


def test_while_a_sink_hangs_records_go_on_to_the_disk(
    make_recorder: MakeRecorder, make_work: Callable[..., Work], results: Path, registry: CollectorRegistry
) -> None:
    sink = HeldSink(results)
    recorder = make_recorder(sink, memory_rows=10)
    work = make_work(0)
    recorder.record(work, result(work))
    assert sink.entered.wait(10)
    for start in range(1, 41, 10):
        for sequence in range(start, start + 10):
            work = make_work(sequence)
            recorder.record(work, result(work))
        wait_until(lambda: sample(registry, "sink_spool_rows") == start + 10, "memory was emptied")  # noqa: B023
    assert sample(registry, "sink_dropped_total", reason="memory") == 0
    sink.go.set()
    wait_until(lambda: len(rows(results)) == 41, "all are written")


def test_what_finds_no_room_in_memory_is_counted_and_the_worker_goes_on(
    make_recorder: MakeRecorder, make_work: Callable[..., Work], results: Path, registry: CollectorRegistry
) -> None:
    recorder = make_recorder(memory_rows=5, gather_s=60)
    works = [make_work(sequence) for sequence in range(8)]
    for work in works:
        recorder.record(work, result(work))
    assert sample(registry, "sink_dropped_total", reason="memory") == 3
    recorder.stop(5)
    assert [row["sequence"] for row in rows(results)] == [0, 1, 2, 3, 4]


def test_a_full_spool_drops_the_oldest_and_counts(
    make_recorder: MakeRecorder, make_work: Callable[..., Work], results: Path, registry: CollectorRegistry
) -> None:
    results.parent.write_text("in the way")
    recorder = make_recorder(max_rows=10, batch=1)
    for sequence in range(30):
        work = make_work(sequence)
        recorder.record(work, result(work))
    wait_until(lambda: sample(registry, "sink_dropped_total", reason="spool") >= 19, "the spool was full")
    results.parent.unlink()
    wait_until(lambda: sample(registry, "sink_spool_rows") == 0, "the rest is written")
    kept = [row["sequence"] for row in rows(results)]
    assert set(range(21, 30)) <= set(kept)
    assert len(kept) == 30 - sample(registry, "sink_dropped_total", reason="spool")


def test_a_record_that_is_refused_holds_up_no_other(
    make_recorder: MakeRecorder, make_work: Callable[..., Work], results: Path, registry: CollectorRegistry
) -> None:
    recorder = make_recorder(FussySink(results, 1 << 30, lambda _: None), batch=4)
    for sequence in range(10):
        work = make_work(sequence)
        recorder.record(work, result(work))
    wait_until(lambda: sample(registry, "sink_dropped_total", reason="refused") == 5, "the odd ones are refused")
    wait_until(lambda: len(rows(results)) == 5, "the even ones are kept")
    assert sample(registry, "sink_records_total", sink="sqlite") == 5


def test_stopping_writes_what_is_in_memory_and_spool(
    make_recorder: MakeRecorder, make_work: Callable[..., Work], results: Path
) -> None:
    recorder = make_recorder(gather_s=60)
    for sequence in range(20):
        work = make_work(sequence)
        recorder.record(work, result(work))
    recorder.stop(10)
    assert len(rows(results)) == 20


def test_stopping_while_the_sink_is_down_leaves_everything_to_the_next_start(
    make_recorder: MakeRecorder, make_work: Callable[..., Work], results: Path
) -> None:
    results.parent.write_text("in the way")
    recorder = make_recorder(gather_s=60)
    for sequence in range(20):
        work = make_work(sequence)
        recorder.record(work, result(work))
    recorder.stop(0)
    results.parent.unlink()
    second = SinkMetrics(CollectorRegistry())
    spool = Spool(recorder._spool.path, 1000, 1 << 20)
    again = ResultRecorder(SinkSettings(), SqliteSink(results, 1 << 30, lambda _: None), spool, second)
    again.start()
    wait_until(lambda: len(rows(results)) == 20, "all are written")
    again.stop(5)
    assert len(set(ids(rows(results)))) == 20


def test_a_crash_between_commit_and_removal_makes_no_second_row(tmp_path: Path, results: Path) -> None:
    spool, sink = Spool(tmp_path / "spool-1.sqlite", 1000, 1 << 20), SqliteSink(results, 1 << 30, lambda _: None)
    spool.put(records(10))
    sink.write(spool.batch(6).records)
    recorder = ResultRecorder(SinkSettings(batch=4), sink, spool, SinkMetrics(CollectorRegistry()))
    recorder.start()
    recorder.stop(5)
    assert [row["sequence"] for row in rows(results)] == list(range(10))


def test_a_fault_of_the_program_in_a_sink_ends_nothing(
    make_recorder: MakeRecorder, make_work: Callable[..., Work], results: Path, registry: CollectorRegistry
) -> None:
    class Faulty(SqliteSink):
        faults = 3

        def write(self, records: Sequence[ResultRecord]) -> None:
            if self.faults:
                self.faults -= 1
                raise ZeroDivisionError("a fault")
            super().write(records)

    recorder, work = make_recorder(Faulty(results, 1 << 30, lambda _: None)), make_work(1)
    recorder.record(work, result(work))
    wait_until(lambda: len(rows(results)) == 1, "the result is kept after all")
    assert sample(registry, "sink_failures_total", sink="sqlite") == 3


def test_a_record_that_cannot_be_written_down_takes_no_other_along(
    make_recorder: MakeRecorder, make_work: Callable[..., Work], results: Path, registry: CollectorRegistry
) -> None:
    recorder = make_recorder(gather_s=60)
    for sequence in range(5):
        work = make_work(sequence)
        recorder.record(work, result(work, error="no file \udcff" if sequence == 2 else ""))
    recorder.stop(10)
    assert [row["sequence"] for row in rows(results)] == [0, 1, 3, 4]
    assert sample(registry, "sink_dropped_total", reason="damaged") == 1
