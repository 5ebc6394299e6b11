from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
import pytest
from support_boards import CASES, simulated
from support_device import counts

from device.spectrometers import SpectrometerSettings
from device.spectrometers.boards.ocean_binary import OceanBinaryBoard
from device.spectrometers.ocean_binary import OceanBinary
from device.spectrometers.ocean_binary_protocol import (
    FOOTER,
    DamagedMessage,
    Flag,
    Message,
    MessageParser,
    MessageType,
)
from specnet.errors import SpectrometerError

CASE = CASES["ocean-binary"]


class Line:
    """A board without a line; `distort` changes what it answers to the n-th request."""

    def __init__(self, distort: Callable[[int, bytes], bytes]) -> None:
        self._board, self._distort = OceanBinaryBoard(), distort
        self._queue, self._n = b"", 0

    def write(self, data: bytes) -> None:
        for reply in self._board.feed(data):
            answer = reply if isinstance(reply, bytes) else self._board.spectrum(counts(1, 4)[0])
            self._queue += self._distort(self._n, answer)
            self._n += 1

    def read(self, timeout: float) -> bytes:
        # one message at a time: the line is slower than the host
        end = self._queue.find(FOOTER) + len(FOOTER)
        now, self._queue = (self._queue[:end], self._queue[end:]) if end >= len(FOOTER) else (self._queue, b"")
        return now

    def set_baudrate(self, baudrate: int) -> bool:
        return False

    def close(self) -> None:
        pass


def test_a_message_has_the_layout_of_the_data_sheet() -> None:
    data = Message(MessageType.SET_INTEGRATION_US, regarding=7, flags=Flag.WANTS_ACK, payload=b"\x10\x27\0\0").encode()
    assert data[:12] == bytes.fromhex("c1c0 0011 0400 0000 10001100")
    assert data[12:16] == b"\7\0\0\0"
    assert data[22:24] == b"\1\4"  # MD5, four bytes of immediate data
    assert data[24:28] == b"\x10\x27\0\0"
    assert data[40:44] == b"\x14\0\0\0"
    assert data[44:60] == hashlib.md5(data[:44]).digest()
    assert data[60:] == bytes.fromhex("c5c4c3c2")
    assert len(data) == 64


@pytest.mark.parametrize("n_bytes", [0, 1, 16, 17, 500])
def test_payloads_travel_as_immediate_data_or_behind_the_header(n_bytes: int) -> None:
    message = Message(MessageType.GET_RAW_SPECTRUM, regarding=1, flags=3, payload=bytes(range(256)) * 2)
    message = Message(message.message_type, 1, 3, payload=message.payload[:n_bytes])
    [event] = MessageParser().feed(message.encode())
    assert event == message


def test_without_a_checksum_type_nothing_is_checked() -> None:
    data = bytearray(Message(5, payload=b"x" * 20).encode())
    data[22] = 0
    [event] = MessageParser().feed(bytes(data))
    assert event == Message(5, payload=b"x" * 20)


def test_damage_is_told_apart_and_a_message_inside_a_false_one_is_found() -> None:
    good = Message(MessageType.GET_SERIAL_NUMBER, payload=b"S1").encode()
    spoilt = good[:30] + b"\xff" + good[31:]
    assert MessageParser().feed(spoilt) == [DamagedMessage("checksum")]
    assert MessageParser().feed(good[:-1] + b"\0") == [DamagedMessage("footer")]
    # the header of a message whose end was lost, and then a whole one
    parser = MessageParser(200)
    assert parser.feed(Message(1, payload=bytes(150)).encode()[:44] + good) == []
    assert parser.flush() == [Message(MessageType.GET_SERIAL_NUMBER, payload=b"S1")]


def test_a_message_inside_a_false_one_is_found_when_the_false_one_is_complete() -> None:
    good = Message(MessageType.GET_SERIAL_NUMBER, payload=b"S1")
    false_header = Message(1, payload=bytes(150)).encode()[:44]
    assert MessageParser(200).feed(false_header + good.encode() + bytes(106)) == [DamagedMessage("footer"), good]


def test_a_header_that_announces_gigabytes_is_none() -> None:
    parser = MessageParser(100)
    header = bytearray(Message(1).encode()[:44])
    header[40:44] = b"\xff\xff\xff\x7f"
    good = Message(2).encode()
    assert parser.feed(bytes(header) + good) == [Message(2)]
    assert parser.stray_bytes == 44


def test_a_late_reply_is_recognised_by_its_number() -> None:
    late = Message(MessageType.GET_RAW_SPECTRUM, regarding=1, payload=bytes(8)).encode()
    line = Line(lambda n, reply: late + reply if n >= 7 else reply)
    spectrometer = OceanBinary(SpectrometerSettings(driver="ocean-binary", port="x"), 4, connect=lambda: line)
    spectrometer.open()
    np.testing.assert_array_equal(spectrometer.intensities(), counts(1, 4)[0])
    assert dict(spectrometer.counters) == {"late": 1}


def test_an_odd_number_of_bytes_is_no_spectrum() -> None:
    odd = Message(MessageType.GET_RAW_SPECTRUM, regarding=8, flags=3, payload=bytes(17)).encode()
    line = Line(lambda n, reply: odd if n == 7 else reply)
    spectrometer = OceanBinary(SpectrometerSettings(driver="ocean-binary", port="x"), 4, connect=lambda: line)
    spectrometer.open()
    with pytest.raises(SpectrometerError, match="no whole number"):
        spectrometer.intensities()


def test_the_memory_tells_serial_number_wavelengths_and_nonlinearity() -> None:
    with simulated(CASE, counts(2)) as board:
        spectrometer = CASE.driver_at(board.port, correct_nonlinearity=True, onboard_scans=3, boxcar=1)
        assert spectrometer.serial_number == "SIM00002"
        wavelengths = spectrometer.wavelengths()
        assert wavelengths is not None
        np.testing.assert_allclose(wavelengths[:2], [350.0, 350.25], rtol=1e-6)
        linear = spectrometer.intensities(correct_nonlinearity=True)
        np.testing.assert_allclose(linear, counts(1)[0] / (1 + 1e-7 * counts(1)[0]), rtol=1e-6)
        spectrometer.close()


def test_a_refusal_names_its_reason() -> None:
    with simulated(CASE, counts(2)) as board:
        spectrometer = CASE.driver_at(board.port)
        with pytest.raises(SpectrometerError, match=r"payload data invalid \(6\)"):
            spectrometer._set_exposure(1)  # type: ignore[attr-defined]
        np.testing.assert_array_equal(spectrometer.intensities(), counts(1)[0])
        spectrometer.close()
