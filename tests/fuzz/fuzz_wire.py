"""Feed one decoder of what comes over the network with inputs for as long as wanted; not part of the suite.

::

    PYTHONPATH=.:tests/support python tests/fuzz/fuzz_wire.py short-request --runs 1000000

An input is decoded to something that goes round, or refused with the decoder's own error; nothing else is raised, and
memory stays bounded. `fuzz_parsers` says how inputs are chosen.
"""

from __future__ import annotations

import resource
from typing import Any

from support_fuzzing import drive, instrumented, mutate

with instrumented("specnet"):
    from support_wire import DECODERS

MAX_INPUT_BYTES = 600
MAX_GROWTH_BYTES = 300 << 20
CRUMBS = (
    b"\xc0",
    b"\xc4\xff",
    b"\xdd\xff\xff\xff\xff",
    b"\xdf\xff\xff\xff\xff",
    b"\xdc\xff\xff",
    b"\x91" * 50,
    b"\xa1v",
    b"\0" * 8,
)


class Trial:
    """Tries one decoder; raises `AssertionError` when it misbehaves."""

    def __init__(self, name: str) -> None:
        self._decoder = DECODERS[name]
        assert self._decoder.same(self._decoder.read(self._decoder.good))
        self.inputs = self.bytes = self.decoded = 0
        self._begin = _memory()

    def __call__(self, data: bytes) -> None:
        """Try one input."""
        self.inputs += 1
        self.bytes += len(data)
        try:
            found = self._decoder.read(data)
        except self._decoder.errors:
            return
        assert self._decoder.same(found), f"{found!r} does not go round"
        self.decoded += 1
        if not self.inputs % 10_000:
            assert _memory() - self._begin < MAX_GROWTH_BYTES, "memory grows"

    def facts(self) -> dict[str, Any]:
        """What else there is to report."""
        return {"decoded": self.decoded, "memory_growth_mb": round((_memory() - self._begin) / 2**20, 1)}


def _memory() -> int:
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    drive(
        list(DECODERS),
        Trial,
        lambda name, chance: mutate([DECODERS[name].good], CRUMBS, chance, MAX_INPUT_BYTES),
        lambda name: [DECODERS[name].good, *CRUMBS],
        MAX_INPUT_BYTES,
        __doc__.splitlines()[0] if __doc__ else "",
    )
