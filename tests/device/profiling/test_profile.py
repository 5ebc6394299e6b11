"""``specnet-device profile``: every step is timed, and what cannot be profiled is told."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from device.cli import main
from device.profiling.measure import resident_bytes
from device.profiling.steps import StepRunner
from device.spectrometers.axis import PixelAxis, resolve_axis
from device.spectrometers.settings import SpectrometerSettings
from specnet.bundle import Bundle
from specnet.profiles import DeviceProfile, read_profile

SPECTRA = 200


def configuration(folder: Path, bundle: Path, text: str = "") -> Path:
    path = folder / "node.toml"
    path.write_text(f'device = "node-1"\nbundle = "{bundle}"\nstate_dir = "{folder / "state"}"\n{text}\n')
    return path


def pixels_of(bundle: Bundle) -> PixelAxis:
    return resolve_axis(SpectrometerSettings(), bundle.source_axis)


def test_every_segment_decision_and_codec_is_timed_once_a_spectrum(bundle: Bundle) -> None:
    done: list[int] = []
    times = StepRunner(bundle, pixels_of(bundle), threads=1).run(7, progress=done.append)
    manifest = bundle.manifest
    assert done == [1, 2, 3, 4, 5, 6, 7]
    assert len(times.preprocessing) == 7
    assert {key: len(values) for key, values in times.segments.items()} == dict.fromkeys("0123", 7)
    assert len(times.policy) == 7 * len(manifest.segments)
    expected = {f"{split}:{manifest.codecs[str(split)]}": 7 for split in range(manifest.n_stages)}
    assert {key: len(values) for key, values in times.codecs.items()} == expected
    assert min(times.preprocessing + times.policy) > 0


def test_a_spectrometer_with_other_pixels_is_profiled_with_its_own(bundle: Bundle, tmp_path: Path) -> None:
    axis = bundle.source_axis
    values = np.linspace(axis.values[0], axis.values[-1], 2 * axis.n_points)
    path = tmp_path / "axis.json"
    path.write_text(json.dumps({"quantity": axis.quantity, "unit": axis.unit, "values": list(values)}))
    pixels = resolve_axis(SpectrometerSettings(axis_file=str(path)), axis)
    assert pixels.n_points == 2 * axis.n_points
    assert set(StepRunner(bundle, pixels, threads=1).run(2).segments) == set("0123")


def test_the_profile_is_written_and_shown(
    tmp_path: Path, tiny_bundle: Path, bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "device.json"
    path = configuration(tmp_path, tiny_bundle, 'site = "lab"')
    words = ["profile", "--config", str(path), "--spectra", str(SPECTRA), "--out", str(out)]
    assert main([*words, "--watts", "3", "--idle-watts", "1.5"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    profile = read_profile(out)
    assert isinstance(profile, DeviceProfile)
    assert (profile.name, profile.bundle, profile.threads) == ("lab/node-1", bundle.bundle_id, 1)
    assert (profile.n_spectra, profile.power) == (SPECTRA, "stated")
    assert (profile.active_watts, profile.idle_watts) == (3.0, 1.5)
    assert list(profile.segments_us) == ["0", "1", "2", "3"]
    assert profile.outbox_us is not None
    assert profile.outbox_us.values[0] > 0
    for text in ("lab/node-1", "preprocessing", "segment 3", "exit policy", "codec int8 at split 1", str(out)):
        assert text in captured.out
    assert not (tmp_path / "state").exists()


def test_json_is_the_profile_itself(tmp_path: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = configuration(tmp_path, tiny_bundle)
    assert main(["profile", "--config", str(path), "--spectra", str(SPECTRA), "--json"]) == 0
    text = capsys.readouterr().out
    assert text.count("\n") == 1
    copy = tmp_path / "copy.json"
    copy.write_text(text)
    profile = read_profile(copy)
    assert isinstance(profile, DeviceProfile)
    assert profile.power in ("measured", "unknown")


def test_resident_memory_is_that_of_a_process_with_numpy() -> None:
    assert 10 << 20 < resident_bytes() < 1 << 40


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--spectra", "199"], "--spectra is from 200 to 1000000, got 199"),
        (["--rest-ms", "nan"], "--rest-ms is from 0 to 10000, got nan"),
        (["--watts", "3"], "--watts and --idle-watts belong together, got 3.0 and None"),
        (["--watts", "0", "--idle-watts", "0"], "--watts is above 0 .* got 0.0 and 0.0"),
        (["--watts", "1", "--idle-watts", "2"], "got 1.0 and 2.0"),
        (["--watts", "nan", "--idle-watts", "0"], "got nan and 0.0"),
        (["--bundle", "missing.specnet"], "cannot read bundle missing.specnet"),
        (["--set", "spectrometer.n_points=7"], "spectrometer.n_points is 7, its axis has"),
        (["--set", "threads=0"], "threads is from 1 to 64, got 0"),
    ],
)
def test_mistakes_are_one_line(
    tmp_path: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str], options: list[str], complaint: str
) -> None:
    assert main(["profile", "--config", str(configuration(tmp_path, tiny_bundle)), *options]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    [line] = captured.err.splitlines()
    assert line.startswith("specnet-device: ")
    assert re.search(complaint, line), line


def test_a_profile_that_cannot_be_written_is_named(
    tmp_path: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = configuration(tmp_path, tiny_bundle)
    out = path / "device.json"
    assert main(["profile", "--config", str(path), "--spectra", str(SPECTRA), "--out", str(out)]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert f"{out}: cannot be written" in line
