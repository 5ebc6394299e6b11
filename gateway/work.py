"""A request that passed every check, and how far it has come."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gateway.answers import RequestKey
from gateway.models import ServedModel
from specnet.codec import RAW
from specnet.mqtt import Incoming
from specnet.wire import OffloadRequest, result_topic

Float32 = NDArray[np.float32]
Rank = tuple[float, float, int]
"""Turn of the device, deadline, number of arrival."""


@dataclass(frozen=True, eq=False)
class Work:
    """A request for a model that is served here; its features are decoded when its turn has come.

    Parameters
    ----------
    key
        What makes it the same as another one.
    request
        As it was sent.
    model
        What it is for.
    arrived, deadline
        Monotonic seconds. After the deadline the device has made do with its own answer; it still wants this one.
    incoming
        The message to acknowledge, without its payload.
    """

    key: RequestKey
    request: OffloadRequest
    model: ServedModel
    arrived: float
    incoming: Incoming
    deadline: float = math.inf

    @property
    def request_id(self) -> str:
        """Name of the request in logs."""
        return self.request.request_id

    @property
    def topic(self) -> str:
        """Where the answer goes."""
        return result_topic(self.request.site, self.request.device)

    @property
    def raw(self) -> bytes:
        """The packed raw spectrum where the request carries one."""
        return self.request.features.data if self.request.features.codec == RAW else b""


@dataclass(slots=True, eq=False)
class Task:
    """A request on its way through the segments: `segment` is the next one, for its features and state.

    Features ``(P, channels)`` and the exit policy's state ``(S,)`` are there once they are decoded.
    `macs` and `compute_s` are what it has taken here so far: every request of a batch counts the whole time of the
    batch's segment, since that is what its device waits for. `rank` (the smallest goes first) and `waits` are the
    scheduler's; `answered` says that its result is on its way, or that it was given up.
    """

    work: Work
    segment: int
    features: Float32 | None = None
    state: Float32 | None = None
    macs: int = 0
    compute_s: float = 0.0
    rank: Rank = (0.0, math.inf, 0)
    waits: bool = False
    answered: bool = False

    @property
    def begun(self) -> bool:
        """Whether a segment has run here."""
        return self.segment > self.work.request.split + 1

    @classmethod
    def of(cls, work: Work) -> Task:
        """Begin with the segment behind the split."""
        return cls(work, work.request.split + 1)
