from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from device.spectrometers.dark import DarkFrame, DarkLibrary
from device.spectrometers.dark_file import MAX_FRAMES, read_dark_frames, write_dark_frames
from specnet.errors import ConfigurationError

OFFSET, CURRENT = np.array([500.0, 520.0, 480.0]), np.array([0.001, 0.05, 0.0])


def frame(micros: int, temperature: float | None = None) -> DarkFrame:
    return DarkFrame(micros, OFFSET + CURRENT * micros, np.array([3.0, math.nan, 0.0]), 16, temperature)


def library(*frames: DarkFrame) -> DarkLibrary:
    return DarkLibrary(frames, tolerance=0.01, max_kelvin=3.0)


def test_a_frame_of_the_same_exposure_is_taken_as_it_is() -> None:
    fitting = library(frame(1000), frame(50_000)).fitting(1005)
    assert fitting is not None
    assert not fitting.scaled
    np.testing.assert_array_equal(fitting.counts, frame(1000).counts)


@pytest.mark.parametrize("micros", [2000, 30_000, 99_000])
def test_between_exposures_the_dark_is_calculated_in_each_pixel(micros: int) -> None:
    fitting = library(frame(1000), frame(20_000), frame(50_000)).fitting(micros)
    assert fitting is not None
    assert fitting.scaled
    np.testing.assert_allclose(fitting.counts, OFFSET + CURRENT * micros)


def test_what_cannot_be_known_is_refused() -> None:
    assert library().fitting(1000) is None
    assert library(frame(1000)).fitting(2000) is None, "one frame does not tell offset from dark current"
    assert library(frame(1000), frame(50_000)).fitting(101_000) is None, "too far beyond the longest"


def test_another_temperature_is_refused() -> None:
    cold = library(frame(1000, 20.0))
    assert cold.fitting(1000, 22.9) is not None
    assert cold.fitting(1000, 23.1) is None
    assert cold.fitting(1000, None) is not None
    assert library(frame(1000, 20.0), frame(1000, 30.0)).fitting(1000, 29.0) is not None


def test_the_offset_of_a_pixel() -> None:
    assert library(frame(1000), frame(2000)).offset(1, 4000) == pytest.approx(720.0)
    assert library().offset(1, 4000) == 0.0


def test_frames_survive_the_file(tmp_path: Path) -> None:
    path = tmp_path / "state" / "dark.json"
    write_dark_frames(path, "C12880MA", [frame(1000, 21.5), frame(2000)])
    first, second = read_dark_frames(path, "C12880MA", 3)
    assert (first.integration_us, first.scans, first.temperature_c, second.temperature_c) == (1000, 16, 21.5, None)
    np.testing.assert_allclose(second.counts, frame(2000).counts)
    np.testing.assert_array_equal(first.noise, [3.0, math.nan, 0.0])
    assert read_dark_frames(tmp_path / "none", "C12880MA", 3) == []


def test_too_many_frames(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="at most 16"):
        write_dark_frames(tmp_path / "d", "x", [frame(n) for n in range(1, MAX_FRAMES + 2)])


def document(**changes: Any) -> dict[str, Any]:
    stored = {"integration_us": 10, "scans": 1, "temperature_c": None, "counts": [1, 2, 3], "noise": [None] * 3}
    head = {"format": "specnet-dark", "version": 1, "serial_number": "S1", "frames": [stored]}
    return {
        **head,
        **{k: v for k, v in changes.items() if k in head},
        "frames": [{**stored, **changes.get("frame", {})}],
    }


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "holds no dark"),
        ("[]", "holds no dark"),
        ("\xff", "holds no dark"),
        (json.dumps(document(format="x")), "has format 'x'"),
        (json.dumps(document(version=2)), "version 2, expected"),
        (json.dumps(document(serial_number="S2")), "of 'S2', the instrument is 'S1'"),
        (json.dumps(document(frame={"counts": [1, 2]})), "2 points, expected 3"),
        (json.dumps(document(frame={"noise": [1, 2]})), "points, expected 3"),
        (json.dumps(document(frame={"integration_us": 0})), "holds no dark"),
        (json.dumps(document(frame={"counts": ["a"]})), "holds no dark"),
        ('{"frames": [{"counts": [NaN]}]}', "holds no dark"),
    ],
)
def test_files_that_are_none_are_refused(tmp_path: Path, content: str, complaint: str) -> None:
    path = tmp_path / "dark.json"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(ConfigurationError, match=complaint):
        read_dark_frames(path, "S1", 3)
