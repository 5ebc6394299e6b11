"""What fuzzing programs share: inputs out of atheris or a seeded generator, and one JSON line of what was done."""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

try:
    import atheris
except ImportError:
    atheris = None

GUIDED = atheris is not None and "--plain" not in sys.argv
"""Whether inputs are chosen by coverage."""


class Trial(Protocol):
    """Takes inputs; raises `AssertionError` when what it tries misbehaves."""

    inputs: int
    bytes: int

    def __call__(self, data: bytes) -> None: ...

    def facts(self) -> dict[str, Any]: ...


def instrumented(package: str) -> Any:
    """Context in which imports of a package are watched for coverage."""
    return atheris.instrument_imports(include=[package])


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
    parser.add_argument("--plain", action="store_true", help="without atheris")
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

    if not GUIDED:
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
