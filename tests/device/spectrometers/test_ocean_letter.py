from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from support_boards import CASES, simulated
from support_device import counts, serving

from device.spectrometers import SpectrometerLostError, SpectrometerSettings, create_spectrometer
from device.spectrometers.boards.ocean_letter import OceanLetterBoard
from device.spectrometers.faults import FaultPlan
from device.spectrometers.ocean_letter_protocol import (
    HEADER,
    STX,
    Acknowledged,
    Damaged,
    Expected,
    LetterParser,
    LetterSpectrum,
    Memory,
    Refused,
    Word,
    command,
    query,
    query_memory,
)
from device.spectrometers.simulator import SimulatedBoard
from specnet.errors import ConfigurationError, SpectrometerError

CASE = CASES["ocean-letter"]


class StubbornBoard(OceanLetterBoard):
    """Acknowledges a change of speed and never makes it, as one does whose line is too long for it."""

    def _set_speed(self, value: int) -> bool:
        return value == 6


def parsed(expected: Expected, data: bytes, *, n_points: int = 3, checksum: bool = False) -> list[object]:
    parser = LetterParser(n_points, checksum=checksum)
    parser.expect(expected)
    return list(parser.feed(data))


def test_commands_are_letters_and_words_with_the_high_byte_first() -> None:
    assert command("I", 300) == b"I\x01\x2c"
    assert query("K") == b"?K"
    assert query_memory(14) == b"?x\x00\x0e"


@pytest.mark.parametrize(
    ("expected", "data", "event"),
    [
        (Expected.ACKNOWLEDGEMENT, b"\x06", Acknowledged()),
        (Expected.ACKNOWLEDGEMENT, b"\x15", Refused(0x15)),
        (Expected.ACKNOWLEDGEMENT, b"bB\x06", Acknowledged()),  # the echo of ASCII mode
        (Expected.WORD, b"\x06\x03\xe8", Word(1000)),
        (Expected.MEMORY, b"\x06USB2G123\0\0", Memory(b"USB2G123")),
        (Expected.MEMORY, b"\x061234567890123456", Memory(b"1234567890123456")),
        (Expected.SPECTRUM, b"\x03", Refused(3)),
        (Expected.SPECTRUM, b"\x15", Refused(0x15)),
        (Expected.SPECTRUM, b"x" * 65, Damaged("garbage")),
        (Expected.SPECTRUM, HEADER.pack(STX, 0xFFFF, 2, 1, 100, 0, 0, 0), Damaged("layout")),
        (Expected.SPECTRUM, HEADER.pack(STX, 0xFFFF, 0, 1, 100, 0, 0, 3), Damaged("layout")),
        (Expected.SPECTRUM, HEADER.pack(STX, 0xFFFF, 0, 1, 100, 0, 0, 0) + bytes(8), Damaged("end")),
    ],
)
def test_answers(expected: Expected, data: bytes, event: object) -> None:
    assert parsed(expected, data) == [event]


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("checksum_first", [False, True])
def test_the_checksum_may_stand_on_either_side_of_the_end(wide: bool, checksum_first: bool) -> None:
    data = struct.pack(">3I" if wide else ">3H", 15, 23, 65_530)
    words = [0xFFFD, (15 + 23 + 65_530) & 0xFFFF]
    header = HEADER.pack(STX, 0xFFFF, int(wide), 1, 100, 0, 0, 0)
    tail = struct.pack(">2H", *(words[::-1] if checksum_first else words))
    [event] = parsed(Expected.SPECTRUM, header + data + tail, checksum=True)
    assert isinstance(event, LetterSpectrum)
    np.testing.assert_array_equal(event.data, [15, 23, 65_530])
    spoilt = header + data[:-1] + b"\0" + tail
    assert parsed(Expected.SPECTRUM, spoilt, checksum=True) == [Damaged("checksum")]


def test_the_sum_is_that_of_the_manual() -> None:
    # SAD500 Communications and Control, technical note 3
    pixels = [15, 23, 46, 98, 231, 509, 1023, 2432, 3245, 1984]
    board = OceanLetterBoard()
    board.feed(command("k", 1))
    assert board.spectrum(np.array(pixels))[-2:] == b"\x25\x86"


def test_an_stx_in_the_noise_is_none() -> None:
    good = OceanLetterBoard().spectrum(np.array([1, 2, 3]))
    [event] = parsed(Expected.SPECTRUM, b"\x02\x00\x02\xff\x00" + good)
    assert isinstance(event, LetterSpectrum)


@pytest.mark.parametrize("baudrate", [0, 115_200, 2400])
def test_the_speed_is_agreed_upon_and_kept_when_the_port_is_opened_again(baudrate: int) -> None:
    board = OceanLetterBoard()
    with serving(SimulatedBoard(counts(3), board=board)) as simulator:
        for _ in range(2):
            spectrometer = CASE.driver_at(simulator.port, baudrate=baudrate)
            assert board.baudrate == (baudrate or 9600)
            spectrometer.intensities()
            spectrometer.close()
    assert (simulator.counters["wrong_speed"] > 0) == bool(baudrate)
    assert not spectrometer.counters


def test_after_a_power_cut_the_speed_is_agreed_upon_again(tmp_path: Path) -> None:
    board, link = OceanLetterBoard(), tmp_path / "port"
    with serving(SimulatedBoard(counts(3), board=board, link=link, faults=FaultPlan.parse("unplug@1"))):
        spectrometer = CASE.driver_at(str(link), baudrate=57_600)
        spectrometer.intensities()
        with pytest.raises(SpectrometerLostError):
            spectrometer.intensities()
        assert board.baudrate in (9600, 57_600)
        while True:
            try:
                spectrometer.open()
                break
            except SpectrometerLostError:
                continue
        assert board.baudrate == 57_600
        np.testing.assert_array_equal(spectrometer.intensities(), counts(3)[1])
        spectrometer.close()


def test_a_speed_that_is_not_confirmed_leaves_the_old_one() -> None:
    board = StubbornBoard()
    with serving(SimulatedBoard(counts(2), board=board)) as simulator:
        spectrometer = CASE.driver_at(simulator.port, baudrate=115_200)
        assert spectrometer.counters["speed_refused"] == 1
        np.testing.assert_array_equal(spectrometer.intensities(), counts(2)[0])
        spectrometer.close()


def test_the_memory_tells_serial_number_wavelengths_and_nonlinearity() -> None:
    with simulated(CASE, counts(2)) as board:
        spectrometer = CASE.driver_at(board.port, correct_nonlinearity=True)
        assert spectrometer.serial_number == "SIM00001"
        assert spectrometer.firmware == "1.00.0"  # type: ignore[attr-defined]
        wavelengths = spectrometer.wavelengths()
        assert wavelengths is not None
        pixels = np.arange(16)
        np.testing.assert_allclose(wavelengths, 350 + 0.25 * pixels - 1e-6 * pixels**2)
        linear = spectrometer.intensities(correct_nonlinearity=True)
        np.testing.assert_allclose(linear, counts(1)[0] / (1 + 1e-7 * counts(1)[0]))
        spectrometer.close()


def test_scans_that_the_instrument_adds_up_are_divided_again() -> None:
    bright = np.full((1, 16), 60_000, dtype=np.uint32)
    with simulated(CASE, bright) as board:
        spectrometer = CASE.driver_at(board.port, onboard_scans=4, boxcar=2)
        np.testing.assert_array_equal(spectrometer.intensities(), bright[0])
        spectrometer.close()


def test_the_exposure_is_in_whole_milliseconds() -> None:
    with simulated(CASE, counts()) as board:
        spectrometer = CASE.driver_at(board.port)
        spectrometer.integration_time_micros(12_600)
        assert spectrometer.exposure_micros == 13_000
        spectrometer.close()


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [({"baudrate": 12_345}, "one of 2400"), ({"onboard_scans": 16}, "1 to 15"), ({"gain": 1}, "has no")],
)
def test_settings_that_the_protocol_does_not_have(changes: dict[str, int], complaint: str) -> None:
    settings = SpectrometerSettings(driver="ocean-letter", port="x", **changes)
    with pytest.raises(ConfigurationError, match=complaint):
        create_spectrometer(settings, 16)


def test_bytes_that_nobody_asked_for_are_an_error() -> None:
    with simulated(CASE, counts()) as board:
        spectrometer = CASE.driver_at(board.port)
        spectrometer._letters.feed(b"late")  # type: ignore[attr-defined]
        with pytest.raises(SpectrometerError, match="without being asked"):
            spectrometer.intensities()
        np.testing.assert_array_equal(spectrometer.intensities(), counts()[0])
        spectrometer.close()
