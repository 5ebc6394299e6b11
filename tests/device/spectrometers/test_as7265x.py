from __future__ import annotations

import numpy as np
import pytest
from support_boards import CASES, simulated

from device.spectrometers import SpectrometerSettings, create_spectrometer
from device.spectrometers.at_protocol import AtParser, ErrorReply, Garbage, Reply
from device.spectrometers.axis import resolve_axis
from specnet.errors import ConfigurationError
from specnet.spectra import Quantity, SpectralAxis

CASE = CASES["as7265x"]


@pytest.mark.parametrize(
    ("data", "events"),
    [
        (b"OK\r\n", [Reply(())]),
        (b"AT\r\nOK\r\n", [Reply(())]),
        (b"1, 2,3 OK\n", [Reply((1.0, 2.0, 3.0))]),
        (b"1.5,-2e-1\r\nOK\r\n", [Reply((1.5, -0.2))]),
        (b"ERROR\n", [ErrorReply("")]),
        (b"ERROR: busy\x1b\n", [ErrorReply("busy?")]),
        (b"1,2,x OK\n", [Garbage(8)]),
        (b"1,2 O", []),
        (b"9" * 2000 + b"\nOK\n", [Garbage(2000), Reply(())]),
        (b"1,2\n3,4\nOK\n", [Reply((3.0, 4.0))]),
        (b"nan OK\n", [Garbage(6)]),
        (b"1,2\nx\nOK\n", [Garbage(1), Reply(())]),
    ],
)
def test_answers(data: bytes, events: list[object]) -> None:
    assert AtParser().feed(data) == events


def test_a_hostile_line_is_judged_at_once() -> None:
    # a pattern that backtracks would need minutes for this one; the time limit of the suite is the judge
    assert AtParser().feed(b"1" + b" " * 1000 + b"x\n") == [Garbage(1002)]


def test_channels_come_in_ascending_order_of_wavelength() -> None:
    pixels = resolve_axis(CASE.settings("x"), SpectralAxis(np.array([400.0, 500.0]), Quantity.WAVELENGTH))
    assert (pixels.n_points, pixels.axis.values[0], pixels.axis.values[-1]) == (18, 410.0, 940.0)
    spectra = (10 * pixels.axis.values).astype(np.uint32)[None]
    with simulated(CASE, spectra) as board:
        spectrometer = CASE.driver_at(board.port)
        np.testing.assert_array_equal(spectrometer.intensities(), spectra[0])
        np.testing.assert_array_equal(spectrometer.wavelengths(), pixels.axis.values)
        assert spectrometer.temperature_c() == 31.0
        spectrometer.close()


def test_exposure_gain_and_calibrated_values() -> None:
    with simulated(CASE, CASE.spectra(2)) as board:
        spectrometer = CASE.driver_at(board.port, gain=3, calibrated=True)
        spectrometer.integration_time_micros(30_000)
        assert spectrometer.exposure_micros == 11 * 2800
        np.testing.assert_array_equal(spectrometer.intensities(), CASE.spectra(2)[0])
        spectrometer.close()


@pytest.mark.parametrize(("gain", "n_points", "complaint"), [(4, 18, "0 to 3"), (0, 17, "18 points")])
def test_settings_that_the_chip_does_not_have(gain: int, n_points: int, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        create_spectrometer(SpectrometerSettings(driver="as7265x", gain=gain), n_points)
