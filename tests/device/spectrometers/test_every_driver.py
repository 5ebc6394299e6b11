"""What every driver must do, over a real pseudo-terminal, with the board of its protocol on the other side."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from support_boards import CASES, Case, read_all, simulated
from support_device import serving

from device.commands.simulate import make_board
from device.spectrometers import EndOfSpectraError, SpectrometerLostError, create_spectrometer
from device.spectrometers.endpoint import TcpEndpoint
from device.spectrometers.faults import FaultPlan
from device.spectrometers.simulator import SimulatedBoard
from specnet.errors import ConfigurationError, SpectrometerError

pytestmark = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


def test_reads_every_spectrum_in_order(case: Case) -> None:
    spectra = case.spectra()
    with simulated(case, spectra) as board:
        read, spectrometer = read_all(case, board.port, len(spectra))
    np.testing.assert_array_equal(read, spectra)
    assert not spectrometer.counters


def test_over_a_serial_server(case: Case) -> None:
    spectra, endpoint = case.spectra(3), TcpEndpoint("127.0.0.1", 0)
    plan = FaultPlan.parse("unplug@1")
    with serving(
        SimulatedBoard(spectra, board=make_board(case.protocol, case.n_points), endpoint=endpoint, faults=plan)
    ):
        read, _ = read_all(case, endpoint.address, 3)
    np.testing.assert_array_equal(read, spectra)


@pytest.mark.parametrize(
    ("fault", "kinds"),
    [
        ("garbage@1", {"garbage", "half_line", "timeout", "checksum"}),
        ("half@1", {"half_line"}),
        ("refuse@1", {"refused"}),
        ("silence@1", {"timeout"}),
        ("checksum@1", {"checksum"}),
    ],
)
def test_a_bad_answer_is_an_error_of_its_kind_and_the_next_one_is_good(case: Case, fault: str, kinds: set[str]) -> None:
    spectra, board = case.spectra(3), make_board(case.protocol, case.n_points)
    if fault == "checksum@1" and not board.has_checksum:
        with pytest.raises(ConfigurationError, match="no checksum"):
            SimulatedBoard(spectra, board=board, faults=FaultPlan.parse(fault))
        return
    with simulated(case, spectra, faults=FaultPlan.parse(fault), seed=1) as simulator:
        spectrometer = case.driver_at(simulator.port, timeout_s=0.7)
        np.testing.assert_array_equal(spectrometer.intensities(), spectra[0])
        with pytest.raises(SpectrometerError):
            spectrometer.intensities()
        assert len(spectrometer.counters) == 1
        assert set(spectrometer.counters) <= kinds
        np.testing.assert_array_equal(spectrometer.intensities(), spectra[1])
        spectrometer.close()


def test_a_stammering_line_is_only_slow(case: Case) -> None:
    spectra = case.spectra(2)
    with simulated(case, spectra, faults=FaultPlan.parse("stammer@0,stammer@1")) as board:
        read, spectrometer = read_all(case, board.port, 2)
    np.testing.assert_array_equal(read, spectra)
    assert board.counters["stammer"] == 2
    assert not spectrometer.counters


def test_unplugged_and_plugged_in_again_behind_a_link(case: Case, tmp_path: Path) -> None:
    spectra, link = case.spectra(4), tmp_path / "port"
    with simulated(case, spectra, link=link, faults=FaultPlan.parse("unplug@1,unplug@3")) as board:
        read, _ = read_all(case, str(link), 4)
        assert board.counters["unplug"] == 2
    np.testing.assert_array_equal(read, spectra)


def test_any_mixture_of_faults_loses_no_spectrum(case: Case, tmp_path: Path) -> None:
    spectra, link = case.spectra(12), tmp_path / "port"
    chances = "garbage=0.1,half=0.05,refuse=0.1,stammer=0.1,unplug=0.05"
    with simulated(case, spectra, link=link, faults=FaultPlan.parse(chances), seed=3) as board:
        read, _ = read_all(case, str(link), 12, timeout_s=0.7)
    np.testing.assert_array_equal(read, spectra)
    assert sum(board.counters[kind] for kind in ("garbage", "half", "refuse", "stammer", "unplug")) >= 2


def test_a_port_with_nobody_behind_it_is_not_taken_for_a_spectrometer(case: Case) -> None:
    silent = TcpEndpoint("127.0.0.1", 0)
    stopped = threading.Event()
    thread = threading.Thread(target=lambda: [silent.receive() for _ in iter(stopped.is_set, True)])
    thread.start()
    try:
        spectrometer = create_spectrometer(case.settings(silent.address, timeout_s=0.2), case.n_points)
        with pytest.raises(SpectrometerError, match="answer"):
            spectrometer.open()
        with pytest.raises(SpectrometerLostError, match="not open"):
            spectrometer.intensities()
    finally:
        stopped.set()
        thread.join()
        silent.unplug()


def test_the_exposure_reaches_the_board_and_is_bounded(case: Case) -> None:
    spectra = np.full((3, case.n_points), 100, dtype=np.uint32)
    with simulated(case, spectra, recorded_us=100_000) as board:
        spectrometer = case.driver_at(board.port)
        spectrometer.integration_time_micros(200_000)
        micros = spectrometer.exposure_micros
        assert micros == pytest.approx(200_000, rel=0.01)
        assert float(spectrometer.intensities()[0]) == pytest.approx(100 * micros / 100_000, abs=1)
        low, high = spectrometer.integration_time_micros_limits
        for outside in (low - 1, high + 1):
            with pytest.raises(SpectrometerError, match="integration time"):
                spectrometer.integration_time_micros(outside)
        assert spectrometer.exposure_micros == micros
        spectrometer.close()


def test_the_end_of_a_replay(case: Case) -> None:
    with simulated(case, case.spectra(1)) as board:
        spectrometer = case.driver_at(board.port)
        spectrometer.intensities()
        told = case.driver in ("c12880ma", "ocean-binary", "as7265x")
        with pytest.raises(EndOfSpectraError if told else SpectrometerError):
            spectrometer.intensities()
        spectrometer.close()


def test_corrections_of_the_detector(case: Case) -> None:
    spectra = case.spectra(2)
    with simulated(case, spectra, loop=True) as board:
        spectrometer = case.driver_at(board.port, dark_pixels=(0, 1))
        corrected = spectrometer.intensities(correct_dark_counts=True)
        np.testing.assert_allclose(corrected, spectra[0] - spectra[0][:2].mean())
        with pytest.raises(SpectrometerError, match="coefficients"):
            spectrometer.intensities(correct_nonlinearity=True)
        spectrometer.close()


def test_two_processes_do_not_share_an_instrument(case: Case) -> None:
    with simulated(case, case.spectra(1)) as board:
        first = case.driver_at(board.port)
        with pytest.raises(SpectrometerLostError, match="cannot be opened"):
            case.driver_at(board.port)
        first.close()
        case.driver_at(board.port).close()


def test_options_of_other_drivers_are_refused(case: Case) -> None:
    for option, value in {"gain": 1, "boxcar": 2, "onboard_scans": 2, "calibrated": True, "definition": "x"}.items():
        if option in ("gain", "calibrated") and case.driver == "as7265x":
            continue
        if option in ("boxcar", "onboard_scans") and case.driver.startswith("ocean"):
            continue
        if option == "definition" and case.driver == "declarative":
            continue
        with pytest.raises(ConfigurationError, match=f"no spectrometer.{option}"):
            create_spectrometer(case.settings("x", **{option: value}), case.n_points)


def test_time_is_bounded_when_a_board_falls_silent_in_the_middle(case: Case) -> None:
    with simulated(case, case.spectra(1), faults=FaultPlan.parse("half@0")) as board:
        spectrometer = case.driver_at(board.port, timeout_s=60.0)
        started = time.monotonic()
        with pytest.raises(SpectrometerError, match="half"):
            spectrometer.intensities()
        # not a measurement: a minute is the time-out that a stalled answer must not wait for
        assert time.monotonic() - started < 30
        spectrometer.close()
