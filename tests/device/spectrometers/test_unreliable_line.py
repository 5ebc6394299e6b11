from __future__ import annotations

import numpy as np
import pytest
from support_boards import CASES, Case
from support_transport import UnreliableLine

from device.commands.simulate import make_board
from device.spectrometers import SpectrometerLostError, exchange
from device.spectrometers.as7265x import AS7265x
from device.spectrometers.c12880ma import C12880MA
from device.spectrometers.declarative import DeclarativeSpectrometer
from device.spectrometers.ocean_binary import OceanBinary
from device.spectrometers.ocean_letter import OceanLetter
from specnet.errors import SpectrometerError, SpectrumError

DRIVERS = {
    "c12880ma": C12880MA,
    "ocean-letter": OceanLetter,
    "ocean-binary": OceanBinary,
    "as7265x": AS7265x,
    "declarative": DeclarativeSpectrometer,
}


@pytest.fixture(autouse=True)
def _long_drain(monkeypatch: pytest.MonkeyPatch) -> None:
    # one byte at a time makes many readings of what is stale
    monkeypatch.setattr(exchange, "MAX_STALE_READS", 100_000)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_one_byte_at_a_time_gives_the_same_spectra(case: Case) -> None:
    spectra = case.spectra(3)
    line = UnreliableLine(make_board(case.protocol, case.n_points), spectra)
    spectrometer = DRIVERS[case.driver](case.settings("line"), case.n_points, connect=lambda: line)
    spectrometer.open()
    np.testing.assert_array_equal([spectrometer.intensities() for _ in range(3)], spectra)
    assert not spectrometer.counters


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_an_answer_that_comes_too_late_is_not_taken_for_the_next_one(case: Case) -> None:
    spectra = case.spectra(4)
    line = UnreliableLine(make_board(case.protocol, case.n_points), spectra, piece=1 << 20)
    settings = case.settings("line", timeout_s=0.05)
    spectrometer = DRIVERS[case.driver](settings, case.n_points, connect=lambda: line)
    spectrometer.open()
    line.withhold()
    with pytest.raises(SpectrometerError):
        spectrometer.intensities()
    line.release()
    np.testing.assert_array_equal([spectrometer.intensities() for _ in range(3)], spectra[1:])
    assert dict(spectrometer.counters) == {"timeout": 1}


@pytest.mark.parametrize("chances", [{"lose": 0.3}, {"repeat": 0.3}, {"delay": 0.1, "lose": 0.1}])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_bad_line_gives_typed_errors_and_with_a_checksum_no_wrong_spectrum(
    case: Case, chances: dict[str, float]
) -> None:
    spectra = case.spectra(4)
    board = make_board(case.protocol, case.n_points)
    # chances are for a whole answer of about four bytes a point
    each = {name: chance / (4 * case.n_points / (64 if name == "delay" else 1)) for name, chance in chances.items()}
    line = UnreliableLine(board, spectra, piece=64, seed=5, **each)
    settings = case.settings("line", timeout_s=0.05)
    spectrometer = DRIVERS[case.driver](settings, case.n_points, connect=lambda: line)
    good, is_open = 0, False
    for _ in range(60):
        try:
            if not is_open:
                line.closed = False
                spectrometer.open()
                is_open = True
            spectrum = spectrometer.intensities()
        except SpectrometerLostError:
            is_open = False
        except (SpectrometerError, SpectrumError):
            continue
        else:
            assert spectrum.shape == (case.n_points,)
            good += np.array_equal(spectrum, line.served[-1])
            if board.has_checksum:
                np.testing.assert_array_equal(spectrum, line.served[-1])
    assert good
