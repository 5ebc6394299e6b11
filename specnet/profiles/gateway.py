"""What the gateway's share of the work takes, alone and under load."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from specnet.errors import ProfileError
from specnet.profiles.fields import (
    MAX_ENTRIES,
    check_bundle,
    check_choice,
    check_created,
    check_indices,
    check_range,
    check_text,
)
from specnet.profiles.quantiles import Quantiles

MAX_BATCH = 1024


class Load(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long requests took while they came at a certain rate.

    Parameters
    ----------
    requests_s
        Requests a second that came, at random moments (a Poisson process).
    utilisation
        That rate as a share of the most that the gateway could do.
    queue_ms
        From arrival to the beginning of the batch, in milliseconds.
    compute_ms
        From the beginning of the batch to the answer, in milliseconds.
    mean_batch
        Requests in a batch.

    Raises
    ------
    ProfileError
        When a value is out of range.
    """

    requests_s: float
    utilisation: float
    queue_ms: Quantiles
    compute_ms: Quantiles
    mean_batch: float

    def __post_init__(self) -> None:
        check_range("requests_s", self.requests_s, 1e-6, 1e9)
        check_range("utilisation", self.utilisation, 1e-6, 2.0)
        check_range("mean_batch", self.mean_batch, 1.0, MAX_BATCH)


class GatewayProfile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Times of segments and of waiting requests at one gateway with one bundle.

    Parameters
    ----------
    name, created
        Which gateway, and when.
    bundle, engine
        Id of the bundle, and what ran its segments.
    max_batch
        Most requests of a batch.
    segments_us
        Each segment alone, batch 1, after a pause, by its number; in microseconds. Segment 0 may be left out, because
        the device runs it.
    handling_us
        What a request takes there apart from its segments: decoding, queue, exit policy, encoding; None where it was
        not measured.
    batch_us
        The same for larger batches: size of the batch, then number of the segment; microseconds of the whole batch.
    loads
        Rates of requests, in ascending order, and what they do to waiting and computing.

    Raises
    ------
    ProfileError
        When a field is out of range or two contradict each other.
    """

    kind: Literal["gateway"] = "gateway"
    format: Literal[1] = 1
    name: str
    created: str
    bundle: str
    engine: str
    max_batch: int
    segments_us: dict[str, Quantiles]
    handling_us: Quantiles | None = None
    batch_us: dict[str, dict[str, Quantiles]] = {}
    loads: tuple[Load, ...] = ()

    def __post_init__(self) -> None:
        check_choice("kind", self.kind, ("gateway",))
        check_choice("format", self.format, (1,))
        check_text("name", self.name)
        check_created(self.created)
        check_bundle(self.bundle)
        check_text("engine", self.engine)
        check_range("max_batch", self.max_batch, 1, MAX_BATCH)
        segments = check_indices("segments_us", self.segments_us, (0, 1))
        self._check_batches(self.batch_us, segments)
        check_range("number of loads", len(self.loads), 0, MAX_ENTRIES)
        rates = [load.requests_s for load in self.loads]
        if rates != sorted(rates):
            raise ProfileError(f"loads are in ascending order of requests_s, got {rates[:8]}")
        for load in self.loads:
            check_range("mean_batch", load.mean_batch, 1.0, self.max_batch)

    def _check_batches(self, batches: Mapping[str, Mapping[str, Quantiles]], segments: list[int]) -> None:
        for size, times in batches.items():
            if not (size.isascii() and size.isdigit() and len(size) <= 4 and 2 <= int(size) <= self.max_batch):
                raise ProfileError(f"batch_us has batches of 2 to max_batch ({self.max_batch}), got {size[:80]!r}")
            found = check_indices(f"batch_us of {size}", times, (0, 1))
            if found != segments:
                raise ProfileError(f"batch_us of {size} has segments {found}, segments_us has {segments}")
