from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from support_broker import Broker
from support_device import ROOT, DeviceProcess, serving

from device import selftest
from device.cli import main
from device.spectrometers.simulator import SimulatedBoard


def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "device", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def configuration(folder: Path, bundle: Path, text: str = "") -> Path:
    path = folder / "node.toml"
    path.write_text(
        f'device = "node-1"\nbundle = "{bundle}"\nstate_dir = "{folder / "state"}"\n{text}\n', encoding="utf-8"
    )
    return path


@pytest.mark.parametrize("command", ["init", "run", "history", "simulate", "selftest", "profile", "ping", "model"])
def test_help_has_an_example(command: str) -> None:
    done = run(command, "--help")
    assert done.returncode == 0
    assert f"specnet-device {command}" in done.stdout.split("Example:")[1]
    assert "--json" in done.stdout


@pytest.mark.parametrize(
    ("text", "options", "complaint"),
    [
        ("splitt = 1", [], "'splitt'; did you mean split"),
        ("split = 60", ["--port", "/dev/null"], "split is 0 to"),
        ('split = "one"', [], "split: expected `int | null`"),
        ('site = "a/b"', [], "site is 1 to 64"),
        ('operating_point = "bold"', ["--port", "/dev/null"], "unknown operating point 'bold'"),
        ("", [], "no serial port"),
        ("", ["--set", "uplink.retry_s"], "--set takes KEY=VALUE"),
        ("", ["--set", "uplink.retry_s=fast"], "uplink.retry_s"),
        ("", ["--count", "-1"], "--count is 0 or more"),
        ("", ["--port", "/dev/null", "--bundle", "missing.specnet"], "missing.specnet"),
        ("[spectrometer]\nn_points = 7", ["--port", "/dev/null"], "n_points is 7"),
        ('[spectrometer]\ndriver = "usb2000"', ["--port", "/dev/null"], "known: as7265x, c12880ma"),
        ('[broker]\nhost = ""', [], "host"),
        ("[outbox]\nmax_requests = 0", [], "outbox.max_requests"),
        ("[outbox]\nmax_age_s = 0", [], "outbox.max_age_s is from 1 to"),
        ("[outbox]\naudit_share = 2", [], "outbox.audit_share is from 0 to 1, got 2"),
        ("[history]\nmax_rows = 0", [], "history.max_rows is from 1 to"),
        ("[acquisition]\nqueue = 0", [], "acquisition.queue is from 1 to 1000, got 0"),
        ('[acquisition]\nwhen_full = "forget"', [], "acquisition.when_full"),
        ("[models]\nkeep = 1", [], "models.keep is from 2 to 100, got 1"),
        ('[models]\nurl_prefixes = ["https://a"]', [], "models.url_prefixes are"),
        ('[models]\nname = "a/b"', [], "models.name is the name of a bundle"),
        ('[textfile]\npath = "x.txt"', [], "textfile.path ends in .prom"),
        ("[uplink]\naudit_rate = 1.5", [], "uplink.audit_rate is from 0 to 1, got 1.5"),
    ],
)
def test_mistakes_in_the_configuration_are_one_clear_line(
    tmp_path: Path,
    tiny_bundle: Path,
    capsys: pytest.CaptureFixture[str],
    text: str,
    options: list[str],
    complaint: str,
) -> None:
    assert main(["run", "--config", str(configuration(tmp_path, tiny_bundle, text)), *options]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    [line] = captured.err.splitlines()
    assert line.startswith("specnet-device: ")
    assert complaint in line


def test_a_configuration_file_that_is_not_there(tmp_path: Path) -> None:
    done = run("run", "--config", tmp_path / "missing.toml")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def test_a_bundle_that_is_damaged(tmp_path: Path, tiny_bundle: Path) -> None:
    content = bytearray(tiny_bundle.read_bytes())
    content[len(content) // 2] ^= 1
    damaged = tmp_path / "damaged.specnet"
    damaged.write_bytes(content)
    done = run("run", "--config", configuration(tmp_path, damaged), "--port", "/dev/null")
    assert done.returncode == 2
    assert "damaged.specnet" in done.stderr


def test_the_environment_overrides_the_file(tmp_path: Path, tiny_bundle: Path) -> None:
    path = configuration(tmp_path, tiny_bundle)
    done = run("run", "--config", path, "--port", "/dev/null", SPECNET_DEVICE_UPLINK__WINDOW="0")
    assert done.returncode == 2
    assert "SPECNET_DEVICE_UPLINK__WINDOW" in done.stderr


def test_simulate_says_where_serves_and_ends_on_a_signal(
    tmp_path: Path, tiny_spectra: Path, tiny_bundle: Path, intensity: NDArray[np.uint16]
) -> None:
    link = tmp_path / "spectrometer"
    with DeviceProcess("simulate", tiny_spectra, "--limit", 4, "--link", link) as simulator:
        simulator.wait_for(lambda: simulator.records, "the first line")
        place = simulator.records[0]
        assert place["port"] == os.readlink(link)
        assert (place["n"], place["n_points"]) == (4, intensity.shape[1])
        path = configuration(tmp_path, tiny_bundle, "split = 0\n[uplink]\ndrain_s = 0\n[broker]\nport = 1")
        done = run("run", "--config", path, "--port", link)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout.splitlines()[-1])["spectra"] == 4
        simulator.signal(signal.SIGTERM)
        assert simulator.wait() == 0
    assert not link.is_symlink()


@pytest.mark.parametrize("arguments", [["missing.npz"], [__file__], ["x.npz", "--faults", "melt=1"]])
def test_simulate_names_mistakes(tmp_path: Path, arguments: list[str]) -> None:
    np.savez(tmp_path / "x.npz", intensity=np.ones((1, 3), dtype=np.uint16))
    file, *options = arguments
    done = run("simulate", tmp_path / file, *options)
    assert done.returncode == 2
    assert done.stderr.startswith("specnet-device: ")


def test_selftest_passes_with_everything_there(
    broker: Broker, tmp_path: Path, tiny_bundle: Path, intensity: NDArray[np.uint16]
) -> None:
    with serving(SimulatedBoard(intensity.astype(np.uint32))) as board:
        path = configuration(
            tmp_path, tiny_bundle, f'[broker]\nport = {broker.port}\n[spectrometer]\nport = "{board.port}"'
        )
        done = run("selftest", "--config", path, "--json")
        assert board.counters["served"] == 0
    assert done.returncode == 0, done.stdout
    document = json.loads(done.stdout)
    assert document["passed"] is True
    assert [check["name"] for check in document["checks"]] == [
        "bundle",
        "axis and split",
        "operating points",
        "spectrometer",
        "broker",
        "state folder",
        "clock",
        "updates",
    ]
    details = {check["name"]: check["detail"] for check in document["checks"]}
    assert " UTC, " in details["clock"]
    assert details["updates"] == "none: models.trust_dir is not set"


def test_selftest_names_everything_that_is_missing(
    tmp_path: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selftest, "BROKER_TIMEOUT_S", 0.1)
    path = configuration(tmp_path, tiny_bundle, '[broker]\nport = 1\n[spectrometer]\nport = "/dev/no-such-port"')
    (tmp_path / "state").write_text("a file where the folder should be")
    assert main(["selftest", "--config", str(path)]) == 1
    table = capsys.readouterr().out
    words = [line.split()[0] for line in table.splitlines()]
    assert words == ["ok", "ok", "ok", "FAILED", "FAILED", "FAILED", "ok", "ok"]
    assert "/dev/no-such-port" in table
    assert "127.0.0.1:1" in table


def test_when_nobody_reads_the_records_the_service_ends(
    tmp_path: Path, tiny_bundle: Path, intensity: NDArray[np.uint16]
) -> None:
    with serving(SimulatedBoard(intensity.astype(np.uint32), loop=True)) as board:
        path = configuration(tmp_path, tiny_bundle, "[uplink]\ndrain_s = 0\n[broker]\nport = 1")
        process = subprocess.Popen(
            [sys.executable, "-m", "device", "run", "--config", str(path), "--port", board.port],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(30) == 1
        assert b"Traceback" not in process.stderr.read()
        process.stderr.close()
