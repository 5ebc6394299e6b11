"""Axes for values that span orders of magnitude, some of which are 0."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from matplotlib.ticker import MaxNLocator

from specnet.tuning.measures import DAY, HOUR, LATENCY, MINUTE, SECOND, Measure

SPAN = 10.0
"""Largest positive value over the smallest from which on an axis is logarithmic."""
MOST_TICKS = 6
_FEW = 3
_ROOM = 0.06
_SHORTEST = 0.25


@dataclass(frozen=True)
class Scale:
    """One axis.

    Parameters
    ----------
    logarithmic
        Whether it is.
    low, high
        Its ends, in the unit of the measure.
    zero
        Where 0 is drawn: 0 itself, or left of all other values of a logarithmic axis.
    ticks
        Places and texts.
    """

    logarithmic: bool
    low: float
    high: float
    zero: float
    ticks: tuple[tuple[float, str], ...]

    def place(self, value: float) -> float:
        """Where on the axis a value is drawn."""
        return value if value > 0 else self.zero

    def on_axis(self, place: float) -> float:
        """Measure along the axis: the logarithm of a place where the axis is logarithmic."""
        return math.log10(place) if self.logarithmic else place

    @classmethod
    def of(cls, values: Iterable[float], measure: Measure) -> Scale:
        """Choose an axis on which all values, not negative, can be told apart."""
        known = sorted(values)
        positive = [value for value in known if value > 0]
        if not positive or positive[-1] < SPAN * positive[0]:
            return _linear(known, measure)
        zero = positive[0] / 3 if known[0] <= 0 else 0.0
        first, last = zero or positive[0], positive[-1]
        room = (last / first) ** _ROOM
        low, high = first / room, last * room
        inside = [tick for tick in measure.decades if low <= tick <= high]
        if len(inside) < _FEW:
            inside = [tick for tick in measure.ticks if low <= tick <= high]
        if zero:
            inside = [tick for tick in inside if tick >= 2 * zero]
        ticks = [(tick, measure.tick(tick)) for tick in _thinned(inside, MOST_TICKS - bool(zero))]
        return cls(True, low, high, zero, ((zero, "0"), *ticks) if zero else tuple(ticks))


def _linear(values: Sequence[float], measure: Measure) -> Scale:
    first, last = (values[0], values[-1]) if values else (0.0, 0.0)
    span = last - first
    # on a shorter axis ticks of three figures would read the same
    room = max(_ROOM * span, (_SHORTEST * last - span) / 2, 0.0) or 1.0
    low, high = first - room, last + room
    units = [unit for unit in (DAY, HOUR, MINUTE, SECOND) if high >= 2 * unit] if measure is LATENCY else []
    unit = units[0] if units else 1.0
    places = MaxNLocator(nbins=MOST_TICKS - 1, steps=[1, 2, 5, 10]).tick_values(low / unit, high / unit)
    inside = [unit * float(place) for place in places if max(low, 0.0) <= unit * place <= high]
    # the locator leaves a rounding error where there is a 0
    cleared = [0.0 if tick < 1e-9 * high else tick for tick in inside]
    return Scale(False, low, high, 0.0, tuple((tick, measure.tick(tick)) for tick in cleared))


def _thinned(ticks: Sequence[float], most: int) -> Sequence[float]:
    return ticks[:: -(-len(ticks) // most)] if ticks else ticks
