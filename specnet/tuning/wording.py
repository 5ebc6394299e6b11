"""A tuned deployment in words: differences, wishes, and why one point was chosen over another."""

from __future__ import annotations

import math

from specnet.tuning.choice import LIMITS, TOLERANCE, Wishes
from specnet.tuning.deployment import (
    CHOSEN,
    LOCAL_ONLY,
    SLOW_LINK,
    SLOWER,
    THRIFTY,
    THRIFTY_TOLERANCE,
    Deployment,
    by_option,
)
from specnet.tuning.measures import BYTES, ENERGY, LATENCY, Measure, duration, energy, number, percent, size
from specnet.tuning.points import Point

PURPOSES = {
    CHOSEN: "as chosen",
    THRIFTY: f"few bytes, for at most {100 * THRIFTY_TOLERANCE:g} points of accuracy",
    LOCAL_ONLY: "when there is no link",
    SLOW_LINK: f"when the link has become {SLOWER:g} times slower",
}
OBJECTIVES = {
    "p95_ms": "p95 latency",
    "p50_ms": "median latency",
    "mean_bytes": "number of bytes a spectrum",
    "energy_mj": "energy a spectrum",
}
_WISHES = {
    "min_accuracy": ("accuracy", "at least", percent),
    "max_p95_ms": ("p95 latency", "at most", duration),
    "max_p50_ms": ("median latency", "at most", duration),
    "max_bytes_per_hour": ("bytes an hour on the link", "at most", size),
    "max_request_bytes": ("largest request", "at most", size),
    "max_energy_mj": ("energy a spectrum", "at most", energy),
}
_ABOUT = 0.05
_ROUNDING = 1e-9


def option_text(point: Point) -> str:
    """Split point and codec."""
    return f"split {point.split}, {point.codec}" if point.codec else "everything on the device"


def accuracy_difference(other: Point, chosen: Point) -> str:
    """How much more or less accurate another point is, estimates compared."""
    points = 100 * (other.estimate - chosen.estimate)
    if abs(points) < _ABOUT:
        return "as accurate"
    return f"{abs(points):.1f} points {'more' if points > 0 else 'less'} accurate"


def cost_difference(measure: Measure, other: Point, chosen: Point) -> str:
    """How another point's cost compares; empty where neither costs anything."""
    value, mine = float(getattr(other, measure.name)), float(getattr(chosen, measure.name))
    if value == mine == 0:
        return ""
    if mine == 0 or value == 0:
        return f"{measure.shown(value)} instead of {measure.shown(mine)}"
    ratio = value / mine
    if abs(ratio - 1) < _ABOUT:
        return measure.same
    if not 0.5 < ratio < 2:
        factor = _factor(max(ratio, 1 / ratio))
        part = f"{100 * ratio:.0f} %" if ratio >= 0.1 else f"1/{factor}"
        return (measure.many if ratio > 1 else measure.few).format(times=factor, part=part)
    return f"{100 * abs(ratio - 1):.0f} % {measure.more if ratio > 1 else measure.less}"


def differences(other: Point, chosen: Point) -> str:
    """All differences in one sentence."""
    said = [
        accuracy_difference(other, chosen),
        *(cost_difference(measure, other, chosen) for measure in (LATENCY, BYTES, ENERGY)),
    ]
    return ", ".join(text for text in said if text)


def why_chosen(deployment: Deployment) -> str:
    """State the rule that the chosen point came out of."""
    least = f"the smallest {OBJECTIVES[deployment.objective]}"
    among = "of all points that fulfil the wishes" if deployment.wishes else "of all points"
    if "min_accuracy" in deployment.wishes:
        return f"It has {least} {among}."
    return (
        f"No accuracy was asked for, so points within {100 * TOLERANCE:.1f} points of the best accuracy were compared "
        f"(estimates marked down by what of them may be luck); among those it has {least} {among}."
    )


def why_not(other: Point, deployment: Deployment) -> str:
    """Say why the best point of another option, which fulfils the wishes, was not chosen."""
    aim = OBJECTIVES[deployment.objective]
    value, mine = getattr(other, deployment.objective), getattr(deployment.chosen, deployment.objective)
    if value > mine:
        return f"larger {aim}"
    if value == mine:
        return f"the same {aim}, and no better in the rest"
    return (
        f"smaller {aim}, but the accuracy ({percent(other.cautious_estimate)} marked down) is not within "
        f"{100 * TOLERANCE:.1f} points of the best"
    )


def left_out(deployment: Deployment) -> dict[str, Point | None]:
    """Options that cannot fulfil the wishes, with the point that comes closest where there is one."""
    wishes = Wishes(**deployment.wishes)
    found = dict(deployment.unfit)
    for name, points in by_option(deployment.front).items():
        # documents of others need not list them
        if name not in deployment.best_of_options and name not in found:
            found[name] = min(points, key=lambda point: (len(wishes.failed_by(point)), wishes.excess(point)))
    return found


def broken_wishes(point: Point, deployment: Deployment) -> str:
    """Wishes that a point does not fulfil, with what it has instead."""
    return "; ".join(
        f"{_WISHES[name][0]} {_WISHES[name][2](_value(point, name))}, "
        f"wished: {_WISHES[name][1]} {_WISHES[name][2](deployment.wishes[name])}"
        for name in Wishes(**deployment.wishes).failed_by(point)
    )


def margins(deployment: Deployment) -> list[tuple[str, str, str, str]]:
    """Give each wish, its limit, what the chosen point has and how far that is from the limit."""
    rows = []
    for name, limit in deployment.wishes.items():
        text, side, shown = _WISHES[name]
        value = _value(deployment.chosen, name)
        rows.append((text, f"{side} {shown(limit)}", shown(value), _room(name, value, limit)))
    return rows


def standard_error(deployment: Deployment) -> str:
    """State plainly what the number of calibration spectra means for an accuracy."""
    n, share = deployment.n_spectra, min(max(deployment.chosen.estimate, 0.0), 1.0)
    spread = 100 * math.sqrt(share * (1 - share) / n)
    return (
        f"All accuracies come from {n:,} calibration spectra. One of {100 * share:.1f} % then has a standard error of "
        f"{spread:.1f} points: on new spectra expect it to be off by up to about twice that. Differences between "
        "points are surer, because all are judged on the same spectra."
    )


def _value(point: Point, wish: str) -> float:
    if wish == "min_accuracy":
        return min(point.accuracy, point.estimate)
    return float(getattr(point, LIMITS[wish]))


def _room(name: str, value: float, limit: float) -> str:
    if name == "min_accuracy":
        return f"{100 * (value - limit):.1f} points above" if value > limit + _ROUNDING else "exactly there"
    if limit == 0 or value >= limit - _ROUNDING:
        return "exactly there"
    return f"{100 * (1 - value / limit):.0f} % below"


def _factor(ratio: float) -> str:
    return f"{ratio:.1f}".removesuffix(".0") if ratio < 10 else number(float(f"{ratio:.0f}"))
