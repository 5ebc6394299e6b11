"""Feed one parser with inputs for as long as wanted; not part of the suite.

::

    PYTHONPATH=.:tests/support python tests/fuzz/fuzz_parsers.py ocean-binary --runs 1000000

Each input is fed as a whole and in pieces. The events must be the same, no more may be held than the parser's bound,
and nothing may be raised; a good answer after a reset must be read. With `atheris <https://github.com/google/atheris>`_
(coverage-guided) installed, it chooses the inputs; ``--plain`` and machines without it use a seeded generator that
mutates and joins pieces of the protocol. With ``--hypothesis`` Hypothesis draws what the generator makes, so that an
input that fails is shrunk to a small one and printed. The last line is a JSON document of what was done.
"""

from __future__ import annotations

import random
from typing import Any

from support_fuzzing import drive, instrumented, mutate

with instrumented("device.spectrometers"):
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
        held = whole.held_bytes
        for start in range(0, len(data), size):
            found += pieces.feed(data[start : start + size])
            held = max(held, pieces.held_bytes)
        assert [*map(describe, found)] == [*map(describe, expected)], "pieces change the events"
        # of this input alone: after one that fails, smaller ones are tried
        assert held <= self.subject.limit, f"{held} bytes are held"
        again = self._anew(pieces).feed(self.subject.good)
        assert [describe(event) for event in again] == self.good, "a good answer is not read"
        self.inputs += 1
        self.bytes += len(data)
        self.events += len(expected)
        self.largest = max(self.largest, held)

    def facts(self) -> dict[str, Any]:
        """What else there is to report."""
        return {"events": self.events, "largest_held": self.largest, "limit": self.subject.limit}

    def _anew(self, parser: Any) -> Any:
        """Bring a parser back into the state in which it waits for an answer."""
        parser.reset()
        if self._expected is not None:
            parser.expect(self._expected)
        return parser


def generate(name: str, chance: random.Random) -> bytes:
    """Choose a number of pieces, and what comes in them."""
    subject = SUBJECTS[name]
    return chance.randbytes(1) + mutate([subject.good], subject.crumbs, chance, MAX_INPUT_BYTES - 1)


if __name__ == "__main__":
    drive(
        list(SUBJECTS),
        Trial,
        generate,
        lambda name: [b"\x07" + one for one in (SUBJECTS[name].good, *SUBJECTS[name].crumbs)],
        MAX_INPUT_BYTES,
        __doc__.splitlines()[0] if __doc__ else "",
    )
