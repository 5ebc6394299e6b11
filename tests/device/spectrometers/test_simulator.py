from __future__ import annotations

import os
import select
from pathlib import Path

import numpy as np
import pytest
from support_device import counts, serving

from device.spectrometers import (
    EndOfSpectraError,
    Spectrometer,
    SpectrometerLostError,
    SpectrometerSettings,
    create_spectrometer,
)
from device.spectrometers.faults import FaultPlan
from device.spectrometers.simulator import SimulatedBoard
from device.spectrometers.transport import SerialTransport
from specnet.errors import ConfigurationError, SpectrometerError, SpectrumError


def connect(port: str, n_points: int = 16) -> Spectrometer:
    spectrometer = create_spectrometer(SpectrometerSettings(port=port, timeout_s=1.0), n_points)
    spectrometer.open()
    return spectrometer


def read_all(port: str, n: int) -> list[np.ndarray]:
    """Read n spectra whatever happens, as the service does."""
    spectra: list[np.ndarray] = []
    spectrometer = connect(port)
    for _ in range(50 * n):
        if len(spectra) == n:
            break
        try:
            spectra.append(spectrometer.intensities())
        except SpectrometerLostError:
            spectrometer = reopen(spectrometer)
        except (SpectrometerError, SpectrumError):
            continue
    spectrometer.close()
    return spectra


def reopen(spectrometer: Spectrometer) -> Spectrometer:
    spectrometer.close()
    while True:
        try:
            spectrometer.open()
        except SpectrometerLostError:
            continue
        return spectrometer


def test_replays_in_order_over_a_real_terminal_and_says_when_it_is_over() -> None:
    spectra = counts(5)
    with serving(SimulatedBoard(spectra)) as board:
        np.testing.assert_array_equal(read_all(board.port, 5), spectra)
        with pytest.raises(EndOfSpectraError):
            connect(board.port).intensities()


def test_starts_again_with_loop() -> None:
    spectra = counts(2)
    with serving(SimulatedBoard(spectra, loop=True)) as board:
        np.testing.assert_array_equal(read_all(board.port, 5), spectra[[0, 1, 0, 1, 0]])


def test_a_long_spectrum_passes_the_terminal_whole() -> None:
    spectra = counts(2, 5000)
    with serving(SimulatedBoard(spectra)) as board:
        np.testing.assert_array_equal(connect(board.port, 5000).intensities(), spectra[0])


def test_garbled_spectra_are_served_again_so_that_none_is_missing(tmp_path: Path) -> None:
    spectra, link = counts(30), tmp_path / "port"
    faults = FaultPlan.parse("garbage=0.2,half=0.03,unplug=0.05,garbage@0,half@3,unplug@7")
    with serving(SimulatedBoard(spectra, link=link, faults=faults, seed=4)) as board:
        np.testing.assert_array_equal(read_all(str(link), 30), spectra)
    # once its thread has ended: the host has the bytes before they are counted
    assert board.counters["served"] == 30
    assert min(board.counters[kind] for kind in ("garbage", "half", "unplug")) >= 1


def test_the_same_seed_makes_the_same_faults() -> None:
    def faults_of(seed: int) -> dict[str, int]:
        with serving(SimulatedBoard(counts(20), faults=FaultPlan.parse("garbage=0.3"), seed=seed)) as board:
            read_all(board.port, 20)
        return dict(board.counters)  # once its thread has ended: the host has the bytes before they are counted

    assert faults_of(1) == faults_of(1)


def test_the_link_follows_the_port_and_goes_with_it(tmp_path: Path) -> None:
    link = tmp_path / "port"
    with serving(SimulatedBoard(counts(), link=link)) as board:
        assert os.readlink(link) == board.port
    assert not link.is_symlink()


def test_a_file_is_not_replaced_by_the_link(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("data")
    with pytest.raises(ConfigurationError, match="no symbolic link"):
        SimulatedBoard(counts(), link=precious)
    assert precious.read_text() == "data"


def test_nonsense_from_the_host_is_answered_and_changes_nothing() -> None:
    spectra = counts(2)
    with serving(SimulatedBoard(spectra)) as board:
        transport = SerialTransport(board.port, 115_200)
        transport.write(b"SPEC.INTEG banana\n\xff\xfe\n" + b"x" * 3000)
        received = b""
        while received.count(b"\n") < 2:
            received += transport.read(5.0)
        assert received == b"ERROR integration time\nERROR unknown command\n"
        transport.close()
        np.testing.assert_array_equal(connect(board.port).intensities(), spectra[0])


def test_unplugged_under_an_open_port() -> None:
    with serving(SimulatedBoard(counts(), faults=FaultPlan.parse("unplug@1"))) as board:
        spectrometer = connect(board.port)
        spectrometer.intensities()
        with pytest.raises(SpectrometerLostError, match="gone"):
            spectrometer.intensities()


def test_a_port_that_is_not_there_and_one_in_use() -> None:
    with pytest.raises(SpectrometerLostError, match="cannot be opened"):
        SerialTransport("/dev/no-such-port", 115_200)
    with serving(SimulatedBoard(counts())) as board:
        first = SerialTransport(board.port, 115_200)
        with pytest.raises(SpectrometerLostError, match="cannot be opened"):
            SerialTransport(board.port, 115_200)
        first.close()


def test_a_transport_whose_other_end_closes() -> None:
    master, slave = os.openpty()
    transport = SerialTransport(os.ttyname(slave), 9600)
    transport.write(b"hello")
    assert select.select([master], [], [], 5.0)[0]
    assert transport.read(0.0) == b""
    os.close(slave)
    os.close(master)
    with pytest.raises(SpectrometerLostError, match="gone"):
        transport.read(5.0)
    transport.close()
    with pytest.raises(SpectrometerLostError, match="gone"):
        transport.write(b"more")


def test_an_unknown_driver_is_named_with_those_there_are() -> None:
    with pytest.raises(ConfigurationError, match="'usb2000'; known: as7265x, c12880ma, declarative"):
        create_spectrometer(SpectrometerSettings(driver="usb2000"), 288)
