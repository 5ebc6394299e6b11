"""What a deployment costs, in units that people read: from half a millisecond to days."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

SECOND, MINUTE, HOUR, DAY = 1e3, 6e4, 3.6e6, 8.64e7
"""In milliseconds."""


def number(value: float) -> str:
    """Three significant figures without an exponent, thousands set apart."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) < 1e-4:
        return f"{value:.2e}"
    return f"{float(f'{value:.3g}'):.7f}".rstrip("0").rstrip(".")


def duration(ms: float) -> str:
    """Write milliseconds in the unit that suits them."""
    for unit, name in ((2 * DAY, "days"), (2 * HOUR, "h"), (2 * MINUTE, "min"), (SECOND, "s")):
        if ms >= unit:
            return f"{number(ms / {'days': DAY, 'h': HOUR, 'min': MINUTE, 's': SECOND}[name])} {name}"
    return f"{number(ms)} ms"


def size(n_bytes: float) -> str:
    """Write bytes."""
    return f"{number(n_bytes)} byte{'' if n_bytes == 1 else 's'}"


def energy(mj: float) -> str:
    """Write millijoules."""
    return f"{number(mj / 1e3)} J" if mj >= 1e4 else f"{number(mj)} mJ"


def percent(share: float) -> str:
    """Write a share of 0..1."""
    return f"{100 * share:.1f} %"


@dataclass(frozen=True)
class Measure:
    """A cost of a point, how it is written and how two of them compare.

    Parameters
    ----------
    name
        Field of `specnet.tuning.points.Point`.
    heading, title
        Of a figure, and of its axis.
    shown, tick
        Write a value with its unit, and a tick as short as the axis' title allows.
    decades, ticks
        Ticks of a logarithmic axis that spans much, or little.
    same, more, less
        Said of a value that is about equal, larger, smaller ("35 % " stands before the last two).
    many, few
        Said of one that is at least twice or at most half as large, with `times` (a factor) or `part` in braces.
    """

    name: str
    heading: str
    title: str
    shown: Callable[[float], str]
    tick: Callable[[float], str]
    decades: tuple[float, ...]
    ticks: tuple[float, ...]
    same: str
    more: str
    less: str
    many: str
    few: str


def _decimal(first: int, last: int, *steps: int) -> tuple[float, ...]:
    return tuple(float(f"{step}e{power}") for power in range(first, last) for step in steps)


_LONG = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10_000)
LATENCY = Measure(
    "p95_ms",
    "p95 latency",
    "95 % of the answers within",
    duration,
    duration,
    (*_decimal(-5, 5, 1), MINUTE, 10 * MINUTE, HOUR, 10 * HOUR, 3 * DAY, 30 * DAY, 300 * DAY),
    (
        *_decimal(-5, 4, 1, 2, 5),
        *(count * SECOND for count in (10, 20, 30)),
        *(count * MINUTE for count in (1, 2, 5, 10, 20, 30)),
        *(count * HOUR for count in (1, 2, 5, 10)),
        *(count * DAY for count in _LONG),
    ),
    "as quick",
    "slower",
    "quicker",
    "{times} times as slow",
    "{times} times as quick",
)
BYTES = Measure(
    "mean_bytes",
    "bytes a spectrum",
    "bytes of payload a spectrum, on average",
    size,
    number,
    _decimal(-3, 12, 1),
    _decimal(-3, 12, 1, 2, 5),
    "about the same bytes",
    "more bytes",
    "fewer bytes",
    "{times} times the bytes",
    "{part} of the bytes",
)
ENERGY = Measure(
    "energy_mj",
    "energy a spectrum",
    "mJ a spectrum, device and radio",
    energy,
    number,
    _decimal(-6, 12, 1),
    _decimal(-6, 12, 1, 2, 5),
    "about the same energy",
    "more energy",
    "less energy",
    "{times} times the energy",
    "{part} of the energy",
)
MEASURES = (LATENCY, BYTES, ENERGY)
