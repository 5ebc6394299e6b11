"""The fuzzing programs try what they say, and find what is wrong."""

from __future__ import annotations

import json
import random
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
from support_fuzzing import TAPE_BYTES, Tape, draw, mutate
from support_parsers import SUBJECTS
from support_wire import DECODERS

FOLDER = Path(__file__).parent
TRIALS = [("fuzz_parsers", name) for name in SUBJECTS] + [("fuzz_wire", name) for name in DECODERS]


class FailsWhereTwoMeet:
    """Misbehaves at inputs in which both pieces are."""

    def __init__(self) -> None:
        self.inputs = self.bytes = 0
        self.tried: list[bytes] = []
        self.failed: list[bytes] = []

    def __call__(self, data: bytes) -> None:
        self.inputs += 1
        self.tried.append(data)
        if b"<here>" in data and b"<there>" in data:
            self.failed.append(data)
            raise AssertionError("both are there")

    def facts(self) -> dict[str, Any]:
        return {}


@pytest.mark.parametrize("way", ["plain", "hypothesis"])
@pytest.mark.parametrize(("program", "subject"), TRIALS)
def test_each_subject_stands_some_inputs(
    program: str, subject: str, way: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [program, subject, f"--{way}", "--runs", "70", "--seed", "3"])
    runpy.run_path(str(FOLDER / f"{program}.py"), run_name="__main__")
    [line] = capsys.readouterr().out.splitlines()
    said = json.loads(line)
    assert (said["subject"], said["engine"], said["inputs"]) == (subject, way, 70)
    assert said["bytes"] > 70
    assert said["seconds"] >= 0


def test_hypothesis_shrinks_what_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    # fewer at once are shrunk faster
    monkeypatch.setattr("support_fuzzing.INPUTS_AN_EXAMPLE", 4)
    trial = FailsWhereTwoMeet()
    crumbs = [b"x", b"<here>", b"<there>"]
    with pytest.raises(AssertionError, match="both are there") as caught:
        draw(trial, lambda chance: mutate([b"a good one"], crumbs, chance, 200), 100_000, 1)
    shrunk = trial.failed[-1]
    assert shrunk == min(trial.failed, key=len)
    assert len(shrunk) <= len(b"<here>x<there>")
    assert f"failing input: {shrunk!r}" in caught.value.__notes__


def test_the_same_seed_draws_the_same_inputs() -> None:
    def drawn(seed: int) -> list[bytes]:
        trial = FailsWhereTwoMeet()
        draw(trial, lambda chance: chance.randbytes(4), 1000, seed)
        assert len(trial.tried) == 1000
        return trial.tried

    first = drawn(1)
    assert first == drawn(1)
    assert first != drawn(2)
    assert len(set(first)) > 800


def test_a_tape_goes_on_with_zeros() -> None:
    assert Tape(b"\x01\x02").randbytes(4) == bytes(reversed(b"\x01\x02\0\0"))
    nothing = Tape(b"")
    assert (nothing.random(), nothing.randrange(5), nothing.choice("ab")) == (0.0, 0, "a")
    full = random.Random(1).randbytes(TAPE_BYTES)
    one = [mutate([b"good"], [b"crumb"], Tape(full), 100) for _ in range(2)]
    assert one[0] == one[1] != mutate([b"good"], [b"crumb"], Tape(b""), 100) == b"crumb"
