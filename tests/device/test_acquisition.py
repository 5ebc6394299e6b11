from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray
from support_device import counts, serving

from device import acquisition
from device.acquisition import Acquisition
from device.spectrometers import (
    EndOfSpectraError,
    SpectrometerLostError,
    SpectrometerSettings,
)
from device.spectrometers.faults import FaultPlan
from device.spectrometers.instrument import create_instrument
from device.spectrometers.quality import Quality
from device.spectrometers.reading import Reading
from device.spectrometers.simulator import SimulatedBoard
from specnet.errors import SpectrometerError, SpectrumError

GOOD = np.array([1, 2, 3])


class Scripted:
    """A spectrometer that does what it is told: spectra and errors of reading, errors of opening."""

    model, serial_number, n_points = "scripted", "0", 3

    def __init__(self, readings: list[NDArray[np.int64] | Exception], openings: list[Exception | None]) -> None:
        self._readings, self._openings = readings, openings
        self.opened = 0

    @property
    def counters(self) -> Mapping[str, int]:
        return Counter()

    def open(self) -> None:
        self.opened += 1
        if self._openings and (error := self._openings.pop(0)) is not None:
            raise error

    def close(self) -> None:
        pass

    def read(self) -> Reading:
        event = self._readings.pop(0)
        if isinstance(event, Exception):
            raise event
        return Reading(event, Quality(0), 1000, 1, float(event.max()))


def acquire(spectrometer: Scripted, stopped: threading.Event | None = None, *, stop_at_end: bool = True) -> Acquisition:
    return Acquisition(
        spectrometer,
        interval_s=0.0,
        stop_at_end=stop_at_end,
        stopped=stopped or threading.Event(),
        generator=random.Random(0),
    )


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acquisition, "REOPEN_MIN_S", 0.001)
    monkeypatch.setattr(acquisition, "REOPEN_MAX_S", 0.01)


def test_bad_readings_are_counted_and_asked_again() -> None:
    spectrometer = Scripted([SpectrumError("short"), SpectrometerError("garbage"), GOOD], [])
    source = acquire(spectrometer)
    np.testing.assert_array_equal(source.read().counts, GOOD)
    assert source.counters["failed_readings"] == 2
    assert spectrometer.opened == 1


def test_failing_again_and_again_opens_the_instrument_again() -> None:
    spectrometer = Scripted([SpectrometerError("noise")] * 3 + [GOOD], [])
    source = acquire(spectrometer)
    np.testing.assert_array_equal(source.read().counts, GOOD)
    assert spectrometer.opened == 2
    assert source.counters["reopened"] == 1


def test_absent_at_start_and_lost_in_the_middle() -> None:
    absent = SpectrometerLostError("no such port")
    spectrometer = Scripted([GOOD, SpectrometerLostError("gone"), GOOD], [absent, absent, None, absent, None])
    source = acquire(spectrometer)
    np.testing.assert_array_equal(source.read().counts, GOOD)
    np.testing.assert_array_equal(source.read().counts, GOOD)
    assert spectrometer.opened == 5
    assert (source.counters["lost"], source.counters["reopened"], source.counters["read"]) == (1, 1, 2)


def test_a_restart_opens_the_instrument_again_before_the_next_spectrum() -> None:
    spectrometer = Scripted([GOOD, GOOD, GOOD], [])
    source = acquire(spectrometer)
    source.read()
    source.restart()
    assert spectrometer.opened == 1
    source.read()
    source.read()
    assert spectrometer.opened == 2
    assert (source.counters["restarted"], source.counters["reopened"], source.counters["read"]) == (1, 1, 3)


def test_the_end_of_a_replay_ends_it_or_not() -> None:
    assert acquire(Scripted([EndOfSpectraError("over")], [])).read() is None
    again = acquire(Scripted([EndOfSpectraError("over"), GOOD], []), stop_at_end=False)
    np.testing.assert_array_equal(again.read().counts, GOOD)


def test_stopped_while_the_instrument_is_missing() -> None:
    stopped = threading.Event()
    source = acquire(Scripted([], [SpectrometerLostError("absent")] * 100_000), stopped)
    threading.Timer(0.05, stopped.set).start()
    assert source.read() is None


def test_every_spectrum_of_a_faulty_board_arrives_once_and_in_order(tmp_path) -> None:  # type: ignore[no-untyped-def]
    spectra, link = counts(25), tmp_path / "port"
    faults = FaultPlan.parse("garbage=0.1,half@2,unplug@5,unplug@6")
    with serving(SimulatedBoard(spectra, link=link, faults=faults, seed=1)):
        source = Acquisition(
            create_instrument(SpectrometerSettings(port=str(link), timeout_s=1.0), 16, tmp_path),
            interval_s=0.0,
            stop_at_end=True,
            stopped=threading.Event(),
            generator=random.Random(0),
        )
        read = []
        while (reading := source.read()) is not None:
            assert reading.flags == Quality(0)
            read.append(reading.counts)
        source.close()
    np.testing.assert_array_equal(read, spectra)
    assert source.counters["reopened"] >= 2
