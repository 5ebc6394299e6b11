"""Feed one parser with inputs for as long as wanted; not part of the suite.

::

    PYTHONPATH=.:tests/support python tests/fuzz/fuzz_parsers.py ocean-binary --runs 1000000

Each input is fed as a whole and in pieces. The events must be the same, no more may be held than the parser's bound,
and nothing may be raised; a good answer after a reset must be read. With `atheris <https://github.com/google/atheris>`_
(coverage-guided) installed, it chooses the inputs; ``--plain`` and machines without it use a seeded generator that
mutates and joins pieces of the protocol. The last line is a JSON document of what was done.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

try:
    import atheris
except ImportError:
    atheris = None

if atheris is not None and "--plain" not in sys.argv:
    with atheris.instrument_imports(include=["device.spectrometers"]):
        from support_parsers import SUBJECTS, Subject, describe
else:
    from support_parsers import SUBJECTS, Subject, describe

MAX_INPUT_BYTES = 1300


class Trial:
    """Tries one parser, the same two objects for all inputs; raises `AssertionError` when it misbehaves."""

    def __init__(self, name: str) -> None:
        self.subject: Subject = SUBJECTS[name]
        self._whole, self._pieces = self.subject.make(), self.subject.make()
        self._expected = getattr(self._whole, "_expected", None)
        self.good = [describe(event) for event in self._whole.feed(self.subject.good)]
        self.inputs = self.bytes = self.events = self.largest = 0

    def __call__(self, data: bytes) -> None:
        """Try one input; its first byte says in how many pieces."""
        n_pieces, data = (data[0] % 8 + 1, data[1:]) if data else (1, data)
        size = len(data) // n_pieces + 1
        whole, pieces = self._anew(self._whole), self._anew(self._pieces)
        expected = whole.feed(data)
        found: list[Any] = []
        for start in range(0, len(data), size):
            found += pieces.feed(data[start : start + size])
            self.largest = max(self.largest, pieces.held_bytes)
        assert [*map(describe, found)] == [*map(describe, expected)], "pieces change the events"
        assert max(self.largest, whole.held_bytes) <= self.subject.limit, f"{self.largest} bytes are held"
        again = self._anew(pieces).feed(self.subject.good)
        assert [describe(event) for event in again] == self.good, "a good answer is not read"
        self.inputs += 1
        self.bytes += len(data)
        self.events += len(expected)

    def _anew(self, parser: Any) -> Any:
        """Bring a parser back into the state in which it waits for an answer."""
        parser.reset()
        if self._expected is not None:
            parser.expect(self._expected)
        return parser


def generate(subject: Subject, chance: random.Random) -> bytes:
    """Join crumbs, noise and damaged good answers."""
    parts = [chance.randbytes(1)]
    for _ in range(chance.choice((1, 2, 2, 3, 4))):
        kind = chance.random()
        if kind < 0.3:
            parts.append(chance.choice(subject.crumbs))
        elif kind < 0.5:
            parts.append(chance.randbytes(chance.randrange(40)))
        else:
            good = bytearray(subject.good)
            if kind < 0.85:
                good[chance.randrange(len(good))] = chance.randrange(256)
            parts.append(bytes(good[: chance.randrange(len(good) + 1)] if kind < 0.65 else good))
    return b"".join(parts)[:MAX_INPUT_BYTES]


def report(name: str, engine: str, trial: Trial, started: float) -> None:
    """Write what was done."""
    seconds = time.monotonic() - started
    document: dict[str, Any] = {
        "parser": name,
        "engine": engine,
        "inputs": trial.inputs,
        "bytes": trial.bytes,
        "events": trial.events,
        "largest_held": trial.largest,
        "limit": trial.subject.limit,
        "seconds": round(seconds, 1),
        "per_second": round(trial.inputs / max(seconds, 1e-9)),
    }
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Run as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("parser", choices=SUBJECTS)
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plain", action="store_true", help="without atheris")
    args = parser.parse_args()
    trial, started = Trial(args.parser), time.monotonic()
    if args.plain or atheris is None:
        chance = random.Random(args.seed)
        for _ in range(args.runs):
            trial(generate(trial.subject, chance))
        report(args.parser, "plain", trial, started)
        return

    def try_one(data: bytes) -> None:
        trial(data)
        # libFuzzer ends the process without running exit handlers
        if trial.inputs == args.runs:
            report(args.parser, "atheris", trial, started)

    with tempfile.TemporaryDirectory() as corpus:
        for index, seed in enumerate((trial.subject.good, *trial.subject.crumbs)):
            Path(corpus, str(index)).write_bytes(b"\x07" + seed)
        options = [f"-runs={args.runs}", f"-seed={args.seed}", f"-max_len={MAX_INPUT_BYTES}", "-verbosity=0"]
        atheris.Setup([sys.argv[0], *options, corpus], try_one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
