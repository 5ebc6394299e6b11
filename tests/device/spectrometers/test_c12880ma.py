from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pytest
from support_device import FakeTransport

from device.spectrometers import EndOfSpectraError, SpectrometerLostError, SpectrometerSettings
from device.spectrometers.c12880ma import C12880MA
from specnet.errors import SpectrometerError, SpectrumError

SETTINGS = SpectrometerSettings(port="fake", timeout_s=0.05, integration_time_s=0.01)
LINE = b"10,20,30,40\n"
Answer = list[bytes | Exception | None]


def board(readings: Iterable[Answer], *, piece: int = 1 << 20) -> FakeTransport:
    """A board that answers timing requests, and readings in this order."""
    script: Iterator[Answer] = iter(readings)

    def answers(command: bytes) -> Answer:
        if command == b"SPEC.READ?":
            return next(script)
        return [b"10000,2500\n"] if command == b"SPEC.TIMING?" else []

    return FakeTransport(answers, piece)


def opened(transport: FakeTransport, n_points: int = 4) -> C12880MA:
    spectrometer = C12880MA(SETTINGS, n_points, connect=lambda: transport)
    spectrometer.open()
    return spectrometer


@pytest.mark.parametrize("piece", [1, 3, 1000])
def test_reads_a_spectrum_however_the_bytes_arrive(piece: int) -> None:
    transport = board([[LINE]], piece=piece)
    np.testing.assert_array_equal(opened(transport).intensities(), [10, 20, 30, 40])
    assert b"SPEC.INTEG 0.010000" in transport.commands


def test_reads_the_timing_and_sets_the_integration_time() -> None:
    transport = board([])
    spectrometer = opened(transport)
    assert spectrometer.timing() == (10_000.0, 2_500.0)
    spectrometer.integration_time_micros(500_000)
    assert transport.commands[-1] == b"SPEC.INTEG 0.500000"
    with pytest.raises(SpectrometerError, match="integration time"):
        spectrometer.integration_time_micros(0)


@pytest.mark.parametrize(
    ("bad", "error", "kind"),
    [
        ([b"\xff\x00garbage\n"], SpectrometerError, "garbage"),
        ([b"10,20,30\n"], SpectrumError, "wrong_length"),
        ([b"10,20,30,40,50\n"], SpectrumError, "wrong_length"),
        ([b"10,20,30,-40\n"], SpectrometerError, "garbage"),
        ([b"10,20,30,0.5\n"], SpectrometerError, "garbage"),
        ([b"10,20"], SpectrometerError, "half_line"),
        ([], SpectrometerError, "timeout"),
        ([b"ERROR busy\n"], SpectrometerError, "refused"),
        ([LINE + LINE], SpectrometerError, "unasked"),
        ([b"7" * 70_000 + b"\n"], SpectrometerError, "garbage"),
    ],
)
def test_a_bad_answer_is_named_counted_and_the_next_reading_is_good(
    bad: Answer, error: type[Exception], kind: str
) -> None:
    spectrometer = opened(board([bad, [LINE]]))
    with pytest.raises(error):
        spectrometer.intensities()
    assert dict(spectrometer.counters) == {kind: 1}
    np.testing.assert_array_equal(spectrometer.intensities(), [10, 20, 30, 40])


def test_the_first_number_after_a_broken_line_is_not_glued_to_it() -> None:
    # without getting into step again "1" and "10,20,30,40" would make a spectrum that begins with 110
    spectrometer = opened(board([[b"1"], [LINE]]))
    with pytest.raises(SpectrometerError, match="half line"):
        spectrometer.intensities()
    np.testing.assert_array_equal(spectrometer.intensities(), [10, 20, 30, 40])


def test_an_answer_that_comes_too_late_is_not_taken_for_the_next_one() -> None:
    readings: Iterator[Answer] = iter([[], [b"50,60,70,80\n"]])
    timings: Iterator[Answer] = iter([[b"10000,2500\n"], [LINE, b"10000,2500\n"]])
    transport = FakeTransport(
        lambda command: next(readings) if command == b"SPEC.READ?" else next(timings) if b"TIMING" in command else []
    )
    spectrometer = opened(transport)
    with pytest.raises(SpectrometerError, match="timeout"):
        spectrometer.intensities()
    np.testing.assert_array_equal(spectrometer.intensities(), [50, 60, 70, 80])


def test_unplugged_while_reading() -> None:
    spectrometer = opened(board([[b"10,20", SpectrometerLostError("gone")]]))
    with pytest.raises(SpectrometerLostError):
        spectrometer.intensities()


def test_a_silent_port_is_not_taken_for_a_spectrometer() -> None:
    transport = FakeTransport(lambda command: [])
    with pytest.raises(SpectrometerLostError, match="does not answer"):
        opened(transport)
    assert transport.closed


def test_a_port_that_never_stops_talking_is_given_up() -> None:
    class Chatter(FakeTransport):
        def read(self, timeout: float) -> bytes:
            return b"blah\n"

    with pytest.raises(SpectrometerLostError, match="does not stop"):
        opened(Chatter(lambda command: []))


def test_the_end_of_a_replay_has_an_error_of_its_own() -> None:
    with pytest.raises(EndOfSpectraError):
        opened(board([[b"ERROR end of replay\n"]])).intensities()


def test_not_open() -> None:
    with pytest.raises(SpectrometerLostError, match="not open"):
        C12880MA(SETTINGS).intensities()
