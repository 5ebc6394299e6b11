"""`specnet bench gateway` with real processes."""

from __future__ import annotations

from pathlib import Path

import pytest
from support_cli import call

from specnet.demo.serving.comparison import answers_agree

BUNDLE = Path(__file__).parents[2] / "device" / "fixtures" / "tiny.specnet"


def test_a_gateway_is_measured_under_load() -> None:
    done = call(
        *(
            "bench",
            "gateway",
            BUNDLE,
            "--devices",
            5,
            "--seconds",
            1,
            "--warm-up",
            0.5,
            "--peers",
            "",
            "--workers",
            2,
            "--json",
        )
    )
    assert done.code == 0, done.err
    document = done.document
    assert [entry["batch"] for entry in document["bare"]] == [1, 8, 64]
    assert list(document["runs"]) == ["gateway, 2 processes", "gateway, 2 processes, half load"]
    for figures in document["runs"].values():
        assert figures["answers"] > 0
        assert figures["failed"] == 0
        for times in (figures["latency_ms"], figures["waited_ms"]):
            assert 0 < times["p50"] <= times["p95"] <= times["p99"]
    full, half = document["runs"].values()
    assert half["answers_s"] < full["answers_s"]
    assert document["labels_agree"] is True
    assert list(document["share_of_bare"]) == ["1", "8", "64"]
    assert all(share > 0 for share in document["share_of_bare"].values())


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--peers", "triton"), "--peers names triton, installed are"),
        (("--workers", "1,0"), "--workers is from 1 to 64, got 0"),
        (("--devices", "0"), "--devices is from 1 to 1000, got 0"),
        (("--seconds", "nan"), "--seconds is from 0.1 to 3600, got nan"),
    ],
)
def test_what_cannot_be_measured_is_refused(options: tuple[str, ...], complaint: str) -> None:
    done = call("bench", "gateway", BUNDLE, *options)
    assert done.code == 2
    assert complaint in done.err


def test_servers_that_disagree_are_found_out() -> None:
    same, other = {"labels": {"0": [1], "1": [2]}}, {"labels": {"0": [1], "1": [3]}}
    assert answers_agree({"a": same, "b": same})
    assert not answers_agree({"a": same, "b": other})
    assert not answers_agree({"a": {"labels": {"0": [1, 2]}}})
