"""Slopes of memory and disk in a soak test."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from specnet.demo.soak.growth import MOST_POINTS, Sample, describe_growth, folder_bytes, resident_bytes, thinned


def samples(values: list[float]) -> list[Sample]:
    return [Sample(36.0 * n, 2000 * n, int(1e6 * value), 0, 0) for n, value in enumerate(values)]


def test_the_slope_leaves_out_the_beginning_of_the_run() -> None:
    # steep for the first fifth, then half a megabyte each 36 s and 2000 requests
    values = [10.0, 30.0, *(50.0 + 0.5 * n for n in range(9))]
    assert describe_growth(samples(values), "gateway") == {
        "first_mb": 10.0,
        "last_mb": 54.0,
        "most_mb": 54.0,
        "mb_per_100k_requests": pytest.approx(25.0),
        "mb_per_hour": pytest.approx(50.0),
    }


def test_what_does_not_grow_has_no_slope() -> None:
    found = describe_growth(samples([70.0, 80.0, *[75.0] * 9]), "gateway")
    assert (found["mb_per_100k_requests"], found["mb_per_hour"], found["most_mb"]) == (0.0, 0.0, 80.0)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_a_run_that_is_too_short_has_no_slope(n: int) -> None:
    found = describe_growth(samples([70.0] * n), "gateway")
    assert found["mb_per_hour"] is None
    assert found["mb_per_100k_requests"] is None
    assert found["last_mb"] == (70.0 if n else None)


@pytest.mark.parametrize(("n", "points"), [(0, 0), (1, 1), (100, 100), (101, 51), (1000, 100)])
def test_a_long_run_is_told_in_few_points(n: int, points: int) -> None:
    found = thinned(samples([float(number) for number in range(n)]))
    assert len(found) == points <= MOST_POINTS
    assert found[:1] == [[0.0, 0, 0.0, 0.0, 0.0]][:n]
    if n == 1000:
        assert found[1] == [360.0, 20_000, 10.0, 0.0, 0.0]


def test_sizes_are_those_of_the_process_and_of_all_files(tmp_path: Path) -> None:
    assert 5e6 < resident_bytes(os.getpid()) < 5e9
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_bytes(bytes(700))
    (tmp_path / "c").write_bytes(bytes(30))
    assert folder_bytes(tmp_path) == 730
    assert folder_bytes(tmp_path / "nothing") == 0
