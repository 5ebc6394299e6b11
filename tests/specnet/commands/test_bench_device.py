"""`specnet bench device` with real processes, and `specnet bench field` where it is told nonsense."""

from __future__ import annotations

from pathlib import Path

import pytest
from support_cli import call

from specnet.commands.bench_device import installed_bytes

BUNDLE = Path(__file__).parents[2] / "device" / "fixtures" / "tiny.specnet"


def test_a_node_is_measured() -> None:
    done = call("bench", "device", BUNDLE, "--spectra", 40, "--json")
    assert done.code == 0, done.err
    document = done.document
    us = document["latency"]["us"]
    assert list(us) == ["preprocessing", "exit 0", "exit 1", "exit 2", "exit 3"]
    assert us["preprocessing"]["n"] == 40 == sum(us[way]["n"] for way in us if way != "preprocessing")
    assert us["exit 0"]["n"] >= 5, "some are easy"
    assert all(0 < times["median"] <= times["p95"] for times in us.values() if times["n"])
    assert all(times["median"] is None for times in us.values() if not times["n"])
    process = document["process"]
    assert 0 < process["ready_s"] < process["first_answer_s"]
    assert process["answers_s"] > 1
    assert 20 < process["most_memory_mb"] < 500


def test_installed_sizes_are_those_of_what_the_extra_needs() -> None:
    sizes = installed_bytes("specnet-edge", "device")
    assert sizes is not None
    assert {"numpy", "onnxruntime", "paho-mqtt", "pyserial", "msgspec"} <= set(sizes)
    assert "torch" not in sizes
    assert sizes["numpy"] > 10e6
    assert installed_bytes("no-such-distribution", "device") is None


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("device", BUNDLE, "--spectra", 0), "--spectra is from 1 to 100000, got 0"),
        (("device", BUNDLE, "--rest-ms", -1), "--rest-ms is from 0 to 10000, got -1"),
        (("device", "no.specnet"), "cannot read bundle no.specnet"),
        (("field", BUNDLE, "--spectra", 0), "--spectra is from 1 to 10000000, got 0"),
        (("field", BUNDLE, "--gap-s", "nan"), "--gap-s is from 0 to 3600, got nan"),
        (("field", "no.specnet"), "cannot read bundle no.specnet"),
    ],
)
def test_mistakes_are_told(words: tuple[object, ...], complaint: str) -> None:
    done = call("bench", *words)
    assert done.code == 2
    assert complaint in done.err
