"""The operating point that a device works at, inside the `State` that it publishes.

`State` refuses unknown fields, so that a new field would make it unreadable to every older reader. Its `reason` is free
text, which says nothing while a device is online: there the point stands, in words that a program can read too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

MAX_NAME, MAX_WHY = 64, 300
_FORM = re.compile(r"operating point (.{1,64}) since spectrum (\d{1,16}), (\S{1,40}): (.{0,300})\Z", re.DOTALL)


@dataclass(frozen=True)
class PointInForce:
    """The operating point in force.

    Parameters
    ----------
    name
        As the bundle calls it.
    sequence
        First spectrum of this boot that was judged at it.
    since
        When, by the device's own wall clock, which may be wrong.
    why
        Why it was taken.
    """

    name: str
    sequence: int
    since: datetime
    why: str

    def to_reason(self) -> str:
        """Text for `State.reason`."""
        since = self.since.isoformat(timespec="seconds")
        return f"operating point {self.name[:MAX_NAME]} since spectrum {self.sequence}, {since}: {self.why[:MAX_WHY]}"

    @classmethod
    def from_reason(cls, reason: str) -> PointInForce | None:
        """Read the text of a `State`; None when it says something else."""
        match = _FORM.match(reason)
        if match is None:
            return None
        name, sequence, since, why = match.groups()
        try:
            return cls(name, int(sequence), datetime.fromisoformat(since), why)
        except ValueError:
            return None
