"""Who says which operating point is in force. No clock inside: times are told."""

from __future__ import annotations

from typing import Protocol

from device.choosing.measurements import Measurements
from device.choosing.table import DecisionTable, Row

PREMATURE = 8
"""A point that is left again within so many dwell times was taken too early."""


class Chooser(Protocol):
    """Names the operating point."""

    @property
    def point(self) -> str:
        """The point in force."""

    def decide(self, now: float, measured: Measurements) -> str:
        """Look at the figures and say why the point has changed; '' when it has not."""

    @property
    def probed(self) -> Row | None:
        """The point whose requests are to be tried out; None when nobody needs to know."""


class FixedPoint:
    """The point that a person has named; it wins over everything that is measured.

    Parameters
    ----------
    point
        Its name.
    """

    def __init__(self, point: str) -> None:
        self._point = point

    @property
    def point(self) -> str:
        """The point in force."""
        return self._point

    def decide(self, now: float, measured: Measurements) -> str:
        """Change nothing."""
        return ""

    @property
    def probed(self) -> Row | None:
        """No point is tried out."""
        return None


class PointChooser:
    """Chooses by a decision table, and not too often.

    A change to a less preferred point comes `dwell_s` after the last change at the earliest, so that a bad link is
    left soon. The way back takes a dwell time of its own, which doubles each time that the point gained is lost again
    within `PREMATURE` times that, and is `dwell_s` again after one that lasted.

    Parameters
    ----------
    table
        What speaks against which point.
    dwell_s, dwell_max_s
        Seconds.
    now
        Monotonic seconds; the chosen point is in force from here.
    """

    def __init__(self, table: DecisionTable, dwell_s: float, dwell_max_s: float, now: float) -> None:
        self._table = table
        self._dwell_s, self._dwell_max_s = dwell_s, dwell_max_s
        self._return_s = dwell_s
        self._since = now
        self._gained = False
        self._in_force = table.rows[0]

    @property
    def point(self) -> str:
        """The point in force."""
        return self._in_force.name

    @property
    def return_s(self) -> float:
        """Seconds that the way back takes at present."""
        return self._return_s

    def decide(self, now: float, measured: Measurements) -> str:
        """Look at the figures and say why the point has changed; '' when it has not."""
        stayed = now - self._since
        if stayed < self._dwell_s:
            return ""
        target, why = self._table.choose(self._in_force, measured)
        if target is self._in_force:
            return ""
        better = self._place(target) < self._place(self._in_force)
        if better and stayed < self._return_s:
            return ""
        if not better and self._gained:
            early = stayed < PREMATURE * self._return_s
            self._return_s = min(self._dwell_max_s, 2 * self._return_s) if early else self._dwell_s
        self._gained = better
        self._in_force, self._since = target, now
        return why

    @property
    def probed(self) -> Row | None:
        """The point whose requests are tried out: the nearest preferred one that sends any."""
        return next((row for row in reversed(self._table.rows[: self._place(self._in_force)]) if row.sends), None)

    def _place(self, row: Row) -> int:
        return self._table.rows.index(row)
