"""What fuzzing programs share: inputs of atheris, Hypothesis or a seeded generator, and one JSON line of it all."""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Protocol

import hypothesis
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

try:
    import atheris
except ImportError:
    atheris = None

TAPE_BYTES = 64
"""What the mutator's choices for one input are made of; some use all of it, and go on with zeros."""
INPUTS_AN_EXAMPLE = 16
"""Hypothesis takes most of its time for beginning an example, so that each is of several inputs."""
EXAMPLES_A_ROUND = 500
"""Hypothesis remembers all examples of a round."""


class Trial(Protocol):
    """Takes inputs; raises `AssertionError` when what it tries misbehaves."""

    inputs: int
    bytes: int

    def __call__(self, data: bytes) -> None: ...

    def facts(self) -> dict[str, Any]: ...


class Tape(random.Random):
    """Chance out of given bytes, then zeros: what can be shrunk is what `mutate` does with it.

    Parameters
    ----------
    content
        The bytes.
    """

    def __init__(self, content: bytes) -> None:
        super().__init__(0)
        self._content, self._place = content, 0

    def random(self) -> float:
        """Choose a share, in steps fine enough for choosing among a few kinds."""
        return self.getrandbits(16) / 65_536

    def getrandbits(self, n_bits: int, /) -> int:
        """Take the next bytes."""
        n_bytes = (n_bits + 7) // 8
        taken = self._content[self._place : self._place + n_bytes]
        self._place += n_bytes
        return int.from_bytes(taken.ljust(n_bytes, b"\0"), "big") >> (8 * n_bytes - n_bits)


def guided() -> bool:
    """Whether inputs are chosen by coverage."""
    return atheris is not None and not {"--plain", "--hypothesis"} & set(sys.argv)


def instrumented(package: str) -> Any:
    """Context in which imports of a package are watched for coverage, where that is wanted."""
    return atheris.instrument_imports(include=[package]) if guided() else nullcontext()


def mutate(good: Sequence[bytes], crumbs: Sequence[bytes], chance: random.Random, most: int) -> bytes:
    """Join crumbs, noise and damaged good inputs."""
    parts = []
    for _ in range(chance.choice((1, 2, 2, 3, 4))):
        kind = chance.random()
        if kind < 0.3 and crumbs:
            parts.append(chance.choice(crumbs))
        elif kind < 0.5:
            parts.append(chance.randbytes(chance.randrange(40)))
        else:
            damaged = bytearray(chance.choice(good))
            if kind < 0.85:
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
            parts.append(bytes(damaged[: chance.randrange(len(damaged) + 1)] if kind < 0.65 else damaged))
    return b"".join(parts)[:most]


def draw(trial: Trial, generate: Callable[[random.Random], bytes], runs: int, seed: int) -> None:
    """Try as many inputs as wanted that Hypothesis has drawn; one that fails is shrunk and printed.

    Hypothesis draws what stands in place of the mutator's chance, for several inputs at once and in one piece: with a
    draw for each choice there are some 400 inputs a second, and with a draw for each input five of six examples repeat
    most of the one before, because Hypothesis copies draws of one kind over each other. It ends a round when it
    believes that it has seen everything, so that there are rounds until all inputs were tried, each with another seed.
    """
    seeds = random.Random(seed)

    def inputs_of(content: bytes) -> list[bytes]:
        return [generate(Tape(content[i : i + TAPE_BYTES])) for i in range(0, len(content), TAPE_BYTES)]

    while (left := runs - trial.inputs) > 0:
        n_inputs = min(INPUTS_AN_EXAMPLE, left)
        n_bytes = n_inputs * TAPE_BYTES

        @hypothesis.seed(seeds.getrandbits(64))
        @settings(
            max_examples=min(EXAMPLES_A_ROUND, left // n_inputs),
            database=None,
            deadline=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        )
        @given(st.binary(min_size=n_bytes, max_size=n_bytes).map(inputs_of))
        def try_some(inputs: list[bytes]) -> None:
            for data in inputs:
                try:
                    trial(data)
                except Exception:
                    note(f"failing input: {data!r}")
                    raise

        try_some()


def drive(
    names: Sequence[str],
    make: Callable[[str], Trial],
    generate: Callable[[str, random.Random], bytes],
    seeds: Callable[[str], Sequence[bytes]],
    most: int,
    description: str,
) -> None:
    """Try the subject that the command line names, with as many inputs as it says."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("subject", choices=names)
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--plain", action="store_true", help="a seeded generator, also where atheris is installed")
    way.add_argument("--hypothesis", action="store_true", help="inputs of Hypothesis, which shrinks one that fails")
    args = parser.parse_args()
    trial, started = make(args.subject), time.monotonic()

    def report(engine: str) -> None:
        seconds = time.monotonic() - started
        document = {
            "subject": args.subject,
            "engine": engine,
            "inputs": trial.inputs,
            "bytes": trial.bytes,
            **trial.facts(),
            "seconds": round(seconds, 1),
            "per_second": round(trial.inputs / max(seconds, 1e-9)),
        }
        sys.stdout.write(json.dumps(document) + "\n")
        sys.stdout.flush()

    if args.hypothesis:
        draw(trial, lambda chance: generate(args.subject, chance), args.runs, args.seed)
        report("hypothesis")
        return

    if not guided():
        chance = random.Random(args.seed)
        for _ in range(args.runs):
            trial(generate(args.subject, chance))
        report("plain")
        return

    def try_one(data: bytes) -> None:
        trial(data)
        # libFuzzer ends the process without running exit handlers
        if trial.inputs == args.runs:
            report("atheris")

    with tempfile.TemporaryDirectory() as corpus:
        for index, one in enumerate(seeds(args.subject)):
            Path(corpus, str(index)).write_bytes(one)
        options = [f"-runs={args.runs}", f"-seed={args.seed}", f"-max_len={most}", "-verbosity=0"]
        atheris.Setup([sys.argv[0], *options, corpus], try_one)
        atheris.Fuzz()
