"""Which bundles stay in memory when not all of them fit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from specnet.manifest import Manifest

MAX_BUNDLES = 64
STAY_S = 60.0
"""A bundle that was loaded for a request stays at least so long: devices send again within seconds, so each of several
that take turns in too little memory gets its requests answered."""
FIXED_BYTES = 8 << 20
FACTOR = 4


def estimated_bytes(manifest: Manifest) -> int:
    """Estimate the memory of a loaded bundle from the size of its files, so that all replicas decide alike.

    8 MiB and four times the files: measured in ONNX Runtime, bundles of 0.3, 2.3 and 8.5 MB (nano, small, base) added
    9, 20 and 39 MB to the resident memory when they were loaded and warmed up to a batch of 64. The growth itself is no
    measure: it depends on what the allocator had left over from others.
    """
    return FIXED_BYTES + FACTOR * sum(info.size for info in manifest.files.values())


class Displace(Enum):
    """Which bundles may have to go for another one."""

    NOTHING = "it is loaded when there is room"
    OLDER = "the newest version of a name may displace others that are not"
    ANY = "a request waits for it"


@dataclass(frozen=True)
class Resident:
    """A bundle in memory, when it was last asked for and until when it stays, in monotonic seconds."""

    bundle_id: str
    size_bytes: int
    newest: bool
    used: float
    stays_until: float


@dataclass(frozen=True)
class Room:
    """What there is room for.

    Parameters
    ----------
    max_bytes
        Sum of estimates; 0 for no limit.
    max_bundles
        Number of bundles.
    stay_s
        How long a bundle that was loaded for a request stays at least.
    """

    max_bytes: int = 0
    max_bundles: int = MAX_BUNDLES
    stay_s: float = STAY_S

    def holds(self, size_bytes: int) -> bool:
        """Whether a bundle would fit if it were the only one."""
        return not self.max_bytes or size_bytes <= self.max_bytes

    def make(
        self, size_bytes: int, residents: Iterable[Resident], displace: Displace, now: float
    ) -> list[Resident] | None:
        """Choose what has to go for a bundle of this size: the least recently used, newest versions last.

        Returns
        -------
        list of Resident or None
            None when it cannot be had at present.
        """
        residents = list(residents)
        used, n = sum(resident.size_bytes for resident in residents), len(residents)
        candidates = sorted((r for r in residents if self._may_go(r, displace, now)), key=lambda r: (r.newest, r.used))
        gone: list[Resident] = []
        while n + 1 > self.max_bundles or (self.max_bytes and used + size_bytes > self.max_bytes):
            if not candidates:
                return None
            victim = candidates.pop(0)
            gone.append(victim)
            used, n = used - victim.size_bytes, n - 1
        return gone

    def _may_go(self, resident: Resident, displace: Displace, now: float) -> bool:
        if displace is Displace.NOTHING or now < resident.stays_until:
            return False
        return displace is Displace.ANY or not resident.newest
