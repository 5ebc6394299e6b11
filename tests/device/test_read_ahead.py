from __future__ import annotations

import threading

import numpy as np
import pytest
from support_broker import wait_until

from device.read_ahead import Accepted, AcquisitionSettings, ReadAhead
from device.spectrometers.quality import Quality
from device.spectrometers.reading import Reading
from specnet.errors import SpectrometerError


class Source:
    """Gives as many spectra as it is allowed to, one after the other."""

    def __init__(self, n: int = 1000) -> None:
        self.n = n
        self.taken = 0
        self.recorded: list[int] = []
        self.dropped: list[int] = []
        self.error: Exception | None = None

    def read(self) -> Reading | None:
        if self.taken == self.n:
            if self.error is not None:
                raise self.error
            return None
        self.taken += 1
        return Reading(np.array([self.taken - 1]), Quality.DARK_SCALED, 1000, 1, 0.0)

    def record(self, accepted: Accepted) -> None:
        self.recorded.append(accepted.sequence)

    def drop(self, accepted: Accepted) -> None:
        self.dropped.append(accepted.sequence)


def reader_of(source: Source, when_full: str = "wait", queue: int = 4) -> ReadAhead:
    settings = AcquisitionSettings(queue=queue, when_full=when_full)
    return ReadAhead(source.read, source.record, source.drop, settings)


def test_all_spectra_come_in_order_with_their_flags() -> None:
    source = Source(50)
    reader = reader_of(source)
    reader.start()
    got = list(reader)
    reader.stop()
    assert [accepted.sequence for accepted in got] == source.recorded == list(range(50))
    assert [int(accepted.counts[0]) for accepted in got] == list(range(50))
    assert {accepted.flags for accepted in got} == {("dark_scaled",)}


def test_it_reads_ahead_while_one_is_judged_but_not_further_than_the_queue() -> None:
    source = Source()
    reader = reader_of(source, queue=3)
    reader.start()
    spectra = iter(reader)
    next(spectra)
    wait_until(lambda: source.taken == 4, "three are read ahead")
    next(spectra)
    wait_until(lambda: source.taken == 5, "one more")
    reader.stop()
    assert len(list(spectra)) == 3, "what was accepted is given out"
    assert source.dropped == []


def test_it_is_full_while_nobody_takes_what_was_read() -> None:
    source = Source(5)
    reader = reader_of(source, queue=3)
    assert not reader.is_full
    reader.start()
    wait_until(lambda: reader.is_full, "nobody takes them")
    assert len(list(reader)) == 5
    assert not reader.is_full
    reader.stop()


@pytest.mark.parametrize("when_full", ["wait", "drop"])
def test_a_limit_is_exact(when_full: str) -> None:
    source = Source(10_000_000)  # whoever takes them may come late
    reader = reader_of(source, when_full)
    reader.start(7)
    assert len(list(reader)) == 7
    reader.stop()
    assert source.taken == 7 + len(source.dropped)
    assert source.recorded == list(range(source.taken))


def test_when_it_may_drop_the_newest_are_kept_and_each_drop_is_told() -> None:
    source = Source(20)
    reader = reader_of(source, "drop", queue=2)
    reader.start()
    wait_until(lambda: len(source.dropped) == 18, "all are read without waiting")
    assert [accepted.sequence for accepted in reader] == [18, 19]
    reader.stop()
    assert source.dropped == list(range(18))
    assert reader.counters == {"accepted": 20, "dropped_unread": 18}


def test_what_the_thread_dies_of_is_raised_after_the_spectra_before_it() -> None:
    source = Source(3)
    source.error = SpectrometerError("smoke")
    reader = reader_of(source)
    reader.start()
    spectra = iter(reader)
    assert [next(spectra).sequence for _ in range(3)] == [0, 1, 2]
    with pytest.raises(SpectrometerError, match="smoke"):
        next(spectra)
    reader.stop()


def test_stopping_waits_for_the_thread() -> None:
    before = threading.active_count()
    source = Source()
    reader = reader_of(source)
    reader.start()
    reader.stop()
    assert threading.active_count() == before
    assert len(list(reader)) == source.taken
