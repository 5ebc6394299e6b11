"""Who has asked what, and what was said: finds what is lost, wrong, or answered differently another time.

A million requests take 8 MB, all of it from the beginning, so that what the ledger takes does not grow.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np

from specnet.wire import Result

TOLERANCE = 1e-5
"""Most difference between probabilities that count as the same: batches of different sizes round differently."""
BOOT = 1
MOST_NAMED = 5
BROKEN = ("wrong", "different", "failed", "unasked")
"""What an answer can be found to be: not what the model says; not what was said before; an error; of no request."""


class Said(NamedTuple):
    """What a result says, without what differs between two computations of the same."""

    label: int
    exit_index: int
    macs: int
    known: bool
    bundle: str
    error: str
    probability: float

    @classmethod
    def of(cls, result: Result) -> Self:
        """Take it out of a result."""
        return cls(
            result.label,
            result.exit_index,
            result.macs,
            result.known,
            result.bundle,
            result.error,
            result.probability,
        )

    def agrees(self, other: Said) -> bool:
        """Whether both say the same."""
        return self[:-1] == other[:-1] and abs(self.probability - other.probability) <= TOLERANCE

    @property
    def digest(self) -> int:
        """All but the probability in 32 bits."""
        return zlib.crc32(repr(tuple(self[:-1])).encode())


class Ledger:
    """Hands out requests to devices, and judges every answer to them.

    Each device asks in the order of its own sequence, and about another sample than its neighbours, so that an answer
    that was meant for another request is found out.

    Parameters
    ----------
    names
        Of the devices.
    expected
        What has to be said of each sample.
    n_requests
        How many there are in all; each device has the same share, up to one.
    """

    def __init__(self, names: Sequence[str], expected: Sequence[Said], n_requests: int) -> None:
        self._names, self._expected, self._n = names, expected, n_requests
        self._asked = [0] * len(names)
        # filled, because pages that nobody has touched are not there yet and would look like growing memory
        self._digests = np.full(n_requests, 1, dtype=np.uint32)
        self._probabilities = np.full(n_requests, np.nan, dtype=np.float32)
        self.answered = 0
        self.repeated_answers = 0
        self.broken: Counter[str] = Counter()
        self.examples: list[str] = []

    @property
    def complete(self) -> bool:
        """Whether every request has an answer."""
        return self.answered == self._n

    def ask(self, device: int) -> int | None:
        """Give a device the sequence of its next request; None when it has asked all that it has to."""
        sequence = self._asked[device]
        if self._number(device, sequence) >= self._n:
            return None
        self._asked[device] += 1
        return sequence

    def sample(self, device: int, sequence: int) -> int:
        """Choose the sample that a request is about, by its number."""
        return (device + sequence) % len(self._expected)

    def take(self, device: int, result: Result) -> bool:
        """Judge a result that came to a device; whether it is the first one of its request."""
        sequence = result.sequence
        of_this = result.device == self._names[device] and result.boot == BOOT
        if not (of_this and sequence < self._asked[device]):
            self._note("unasked", device, result, "nobody has asked that")
            return False
        number, said = self._number(device, sequence), Said.of(result)
        expected = self._expected[self.sample(device, sequence)]
        if said.error:
            self._note("failed", device, result, said.error)
        elif not said.agrees(expected):
            self._note("wrong", device, result, f"{said}, expected {expected}")
        before = float(self._probabilities[number])
        if np.isnan(before):
            self._digests[number], self._probabilities[number] = said.digest, said.probability
            self.answered += 1
            return True
        self.repeated_answers += 1
        if said.digest != self._digests[number] or abs(said.probability - before) > TOLERANCE:
            self._note("different", device, result, f"now {said}, before with probability {before:.6f}")
        return False

    def lost(self) -> list[str]:
        """Names of the requests that have been asked and have no answer."""
        silent = np.flatnonzero(np.isnan(self._probabilities)).tolist()
        pairs = [(number % len(self._names), number // len(self._names)) for number in silent]
        return [self.name(device, sequence) for device, sequence in pairs if sequence < self._asked[device]]

    def name(self, device: int, sequence: int) -> str:
        """Name a request as logs do."""
        return f"{self._names[device]}-{BOOT}-{sequence}"

    def to_dict(self) -> dict[str, Any]:
        """Sum up; `examples` has the first ones of what is broken, and of what is lost."""
        lost = self.lost()
        examples = self.examples + [f"lost: {name}" for name in lost[:MOST_NAMED]]
        return {
            "requests": sum(self._asked),
            "not_asked": self._n - sum(self._asked),
            "answered": self.answered,
            "repeated_answers": self.repeated_answers,
            "lost": len(lost),
            **{kind: self.broken[kind] for kind in BROKEN},
            "examples": examples,
        }

    def _number(self, device: int, sequence: int) -> int:
        return sequence * len(self._names) + device

    def _note(self, kind: str, device: int, result: Result, detail: str) -> None:
        self.broken[kind] += 1
        if self.broken[kind] <= MOST_NAMED:
            self.examples.append(f"{kind}: {result.request_id} at {self._names[device]} by {result.gateway}: {detail}")
