"""What a simulated board does wrong, drawn from a seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from specnet.errors import ConfigurationError

KINDS = ("garbage", "half", "unplug", "refuse", "checksum", "stammer", "silence")
"""Noise instead of an answer; an answer cut off; gone for a moment; a refusal; a wrong checksum, where the protocol has
one; a good answer in small pieces; no answer at all."""
EXAMPLE = "garbage=0.01,half=0.01,unplug=0.002,unplug@7"


@dataclass(frozen=True)
class FaultPlan:
    """Probabilities of faults for each reading, and faults at certain spectra.

    Parameters
    ----------
    probabilities
        Probability of each kind (`KINDS`) for one reading; together at most 1.
    at
        Index of a spectrum -> the kind that happens, once, when it is first read.

    Raises
    ------
    ConfigurationError
        For an unknown kind or numbers out of range.
    """

    probabilities: Mapping[str, float] = field(default_factory=dict)
    at: Mapping[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for kind in (*self.probabilities, *self.at.values()):
            if kind not in KINDS:
                raise ConfigurationError(f"unknown fault {kind!r}; known: {', '.join(KINDS)}")
        chances = list(self.probabilities.values())
        # a board that fails always would never serve a spectrum, and the replay never end
        if not all(0 <= chance < 1 for chance in chances) or not sum(chances) < 1:
            raise ConfigurationError(
                f"probabilities of faults are from 0 and together below 1, got {dict(self.probabilities)}"
            )
        if any(index < 0 for index in self.at):
            raise ConfigurationError(f"faults are at spectra from 0 on, got {sorted(self.at)}")

    @classmethod
    def parse(cls, text: str) -> FaultPlan:
        """Read ``kind=probability`` and ``kind@index``, separated by commas; an empty text means no faults."""
        probabilities: dict[str, float] = {}
        at: dict[int, str] = {}
        for item in filter(None, (part.strip() for part in text.split(","))):
            try:
                if "@" in item:
                    kind, _, index = item.partition("@")
                    at[int(index)] = kind
                else:
                    kind, _, chance = item.partition("=")
                    probabilities[kind] = float(chance)
            except ValueError:
                raise ConfigurationError(f"a fault is written like {EXAMPLE}, got {item[:80]!r}") from None
        return cls(probabilities, at)


class FaultInjector:
    """Decides for each reading whether it fails.

    Parameters
    ----------
    plan
        What may happen.
    generator
        Source of chance.
    """

    def __init__(self, plan: FaultPlan, generator: np.random.Generator) -> None:
        self._chances = dict(plan.probabilities)
        self._at = dict(plan.at)
        self._generator = generator

    def next_fault(self, index: int) -> str:
        """Kind of the fault when spectrum `index` is read; empty when it is read well."""
        if (planned := self._at.pop(index, "")) or not self._chances:
            return planned
        draw = float(self._generator.random())
        for kind, chance in self._chances.items():
            if draw < chance:
                return kind
            draw -= chance
        return ""

    def garbage(self, n_bytes: int = 64) -> bytes:
        """Noise without newline."""
        noise = self._generator.integers(0, 256, n_bytes, dtype=np.uint8).tobytes()
        return noise.replace(b"\n", b"?")
