"""``simulate``, ``dark`` and ``axis`` as processes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from support_boards import CASES, read_all
from support_device import ROOT, DeviceProcess

from device.spectrometers.generated import generate_spectra
from specnet.errors import ConfigurationError


def device(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "device", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@contextmanager
def simulation(*arguments: object) -> Iterator[dict[str, object]]:
    with DeviceProcess("simulate", *arguments) as process:
        process.wait_for(lambda: process.records, "the board tells its port")
        yield process.records[0]


@pytest.mark.parametrize("name", CASES)
def test_every_protocol_can_be_simulated(name: str) -> None:
    case = CASES[name]
    # within the counts that all boards can send
    with simulation("--generate", f"3x{case.n_points}", "--protocol", case.protocol, "--recorded-us", 60_000) as place:
        spectra, _ = read_all(case, str(place["port"]), 3)
    assert (place["n"], place["n_points"]) == (3, case.n_points)
    assert np.ptp(spectra[0]) > 0


def test_a_recording_over_tcp_with_faults(tmp_path: Path) -> None:
    case = CASES["ocean-binary"]
    np.savez(tmp_path / "s.npz", intensity=case.spectra(5))
    options = ("--protocol", case.protocol, "--listen", "127.0.0.1:0", "--faults", "checksum@1,refuse@2,unplug@3")
    with simulation(tmp_path / "s.npz", *options) as place:
        assert str(place["port"]).startswith("socket://127.0.0.1:")
        spectra, driver = read_all(case, str(place["port"]), 5)
    np.testing.assert_array_equal(spectra, case.spectra(5))
    assert (driver.counters["checksum"], driver.counters["refused"]) == (1, 1)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--generate", "3x4", "--protocol", "morse"], "unknown protocol 'morse'; known: c12880ma"),
        (["--generate", "3x4", "--protocol", "declarative:csv-lines"], "288 points"),
        (["--generate", "3"], "takes NxPOINTS"),
        (["--generate", "0x4"], "1 to 100000 spectra"),
        (["--generate", "3x4", "--faults", "checksum=0.1"], "no checksum"),
        (["--generate", "3x4", "--listen", "nowhere"], "HOST:PORT"),
        (["--generate", "3x4", "--recorded-us", "-1"], "--recorded-us"),
        (["--generate", "3x4", "--seed", "-1"], "--seed"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(arguments: list[str], complaint: str) -> None:
    done = device("simulate", *arguments)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert done.stderr.count("\n") == 1


def test_generated_spectra_are_the_same_for_a_seed_and_fit_the_detector() -> None:
    first = generate_spectra(20, 100, seed=3)
    np.testing.assert_array_equal(first, generate_spectra(20, 100, seed=3))
    assert not np.array_equal(first, generate_spectra(20, 100, seed=4))
    assert first.max() < 65_535
    with pytest.raises(ConfigurationError):
        generate_spectra(1, 1)


def test_dark_spectra_are_taken_and_kept(tiny_bundle: Path, tmp_path: Path) -> None:
    with simulation("--generate", "40x400", "--recorded-us", 1_000_000, "--loop") as place:
        common = (
            "--set",
            "device=d",
            "--bundle",
            tiny_bundle,
            "--state-dir",
            tmp_path,
            "--port",
            place["port"],
            "--json",
        )
        done = device("dark", *common, "--scans", 4, "--exposures", "0.001,0.002")
        assert done.returncode == 0, done.stderr
        document = json.loads(done.stdout)
        assert [row["integration_us"] for row in document["taken"]] == [1000, 2000]
        assert document["taken"][0]["scans"] == 4
        assert (tmp_path / "dark.json").stat().st_size > 1000
        shown = device("dark", *common[:-1], "--scans", 2)
        assert "counts, highest" in shown.stdout
        for wrong in (("--scans", 0), ("--exposures", "a"), ("--exposures", "1e9")):
            assert device("dark", *common, *wrong).returncode == 2


def test_the_axis_of_the_memory_is_kept(tiny_bundle: Path, tmp_path: Path) -> None:
    with simulation("--generate", "2x16", "--protocol", "ocean-binary") as place:
        settings = ("--set", "spectrometer.driver=ocean-binary", "--set", "spectrometer.n_points=16")
        common = (
            "--set",
            "device=d",
            "--bundle",
            tiny_bundle,
            "--state-dir",
            tmp_path,
            "--port",
            place["port"],
            *settings,
        )
        done = device("axis", *common, "--out", tmp_path / "axis.json", "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["n_points"] == 16
        axis = json.loads((tmp_path / "axis.json").read_text())
        assert axis["values"][:2] == pytest.approx([350.0, 350.25], rel=1e-6)


def test_a_board_without_memory_has_no_axis_to_keep(tiny_bundle: Path, tmp_path: Path) -> None:
    with simulation("--generate", "2x16") as place:
        common = (
            "--set",
            "device=d",
            "--bundle",
            tiny_bundle,
            "--state-dir",
            tmp_path,
            "--port",
            place["port"],
            "--out",
            tmp_path / "a",
        )
        done = device("axis", *common, "--set", "spectrometer.n_points=16")
        assert done.returncode == 2
        assert "tells no wavelengths" in done.stderr
        assert device("axis", *common).returncode == 2
