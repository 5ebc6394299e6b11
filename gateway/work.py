"""A request that passed every check, and how far it has come."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gateway.answers import RequestKey
from gateway.models import ServedModel
from specnet.mqtt import Incoming

Float32 = NDArray[np.float32]
Rank = tuple[float, float, int]
"""Turn of the device, deadline, number of arrival."""


@dataclass(frozen=True, eq=False)
class Work:
    """A request that passed every check.

    Features are ``(P, channels)``, the state of the exit policy ``(S,)``. `arrived` is in monotonic seconds, and
    `deadline` too: afterwards the device has made do with its own answer, though it still wants this one. `incoming` is
    the message to acknowledge, `topic` and `correlation` say where the answer goes.
    """

    key: RequestKey
    request_id: str
    model: ServedModel
    split: int
    features: Float32
    state: Float32
    audit: bool
    arrived: float
    incoming: Incoming
    topic: str
    correlation: bytes | None
    deadline: float = math.inf


@dataclass(slots=True, eq=False)
class Task:
    """A request on its way through the segments: `segment` is the next one, for its features and state.

    `macs` and `compute_s` are what it has taken here so far: every request of a batch counts the whole time of the
    batch's segment, since that is what its device waits for. `rank` (the smallest goes first) and `waits` are the
    scheduler's.
    """

    work: Work
    segment: int
    features: Float32
    state: Float32
    macs: int = 0
    compute_s: float = 0.0
    rank: Rank = (0.0, math.inf, 0)
    waits: bool = False

    @property
    def begun(self) -> bool:
        """Whether a segment has run here."""
        return self.segment > self.work.split + 1

    @classmethod
    def of(cls, work: Work) -> Task:
        """Begin with the segment behind the split."""
        return cls(work, work.split + 1, work.features, work.state)
