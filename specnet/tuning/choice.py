"""Choosing one deployment by wishes in a user's words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from specnet.errors import ConfigurationError
from specnet.tuning.points import Point

TOLERANCE = 0.003
"""Accuracy given up for what is minimised where no accuracy was asked for."""
OBJECTIVES = ("p95_ms", "p50_ms", "mean_bytes", "energy_mj")
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Wishes:
    """Limits; None for none.

    Parameters
    ----------
    min_accuracy
        Share of right answers, 0..1.
    max_p95_ms, max_p50_ms
        Milliseconds from counts to the final answer.
    max_bytes_per_hour
        On the link, overhead counted.
    max_request_bytes
        Largest payload of a request.
    max_energy_mj
        Millijoules a spectrum.
    """

    min_accuracy: float | None = None
    max_p95_ms: float | None = None
    max_p50_ms: float | None = None
    max_bytes_per_hour: float | None = None
    max_request_bytes: float | None = None
    max_energy_mj: float | None = None

    def __post_init__(self) -> None:
        if self.min_accuracy is not None and not 0 < self.min_accuracy <= 1:
            raise ConfigurationError(f"an accuracy is a share above 0 and at most 1, got {self.min_accuracy}")
        for name in LIMITS:
            limit = getattr(self, name)
            if limit is not None and not limit >= 0:
                raise ConfigurationError(f"{name} is at least 0, got {limit}")

    def failed_by(self, point: Point) -> list[str]:
        """Names of the wishes that a point does not fulfil."""
        failed = [name for name, measure in LIMITS.items() if _exceeds(getattr(self, name), getattr(point, measure))]
        if self.min_accuracy is not None and min(point.accuracy, point.estimate) < self.min_accuracy - _ROUNDING:
            failed.append("min_accuracy")
        return failed

    def excess(self, point: Point) -> float:
        """Largest share by which a point misses one of the wishes that it does not fulfil; 0 when it fulfils all."""
        missed = [0.0]
        for name in self.failed_by(point):
            limit = getattr(self, name)
            if name == "min_accuracy":
                missed.append(1 - min(point.accuracy, point.estimate) / limit)
            else:
                value = getattr(point, LIMITS[name])
                missed.append(value / limit - 1 if limit else value)
        return max(missed)

    def to_dict(self) -> dict[str, float]:
        """Wishes that were made."""
        made = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: value for name, value in made.items() if value is not None}


LIMITS = {
    "max_p95_ms": "p95_ms",
    "max_p50_ms": "p50_ms",
    "max_bytes_per_hour": "bytes_per_hour",
    "max_request_bytes": "largest_bytes",
    "max_energy_mj": "energy_mj",
}
"""Measure of a point that each wish limits."""


def choose(points: Sequence[Point], wishes: Wishes, objective: str = "p95_ms") -> Point:
    """Choose the point that minimises something among those that fulfil all wishes.

    Where no accuracy is asked for, points within 0.3 points of the best accuracy that the other wishes allow are
    compared, luck allowed for as `specnet.calibration.operating_point` does.

    Raises
    ------
    ConfigurationError
        When the objective is unknown or nothing fulfils the wishes; the message says what comes nearest.
    """
    if objective not in OBJECTIVES:
        raise ConfigurationError(f"unknown objective {objective!r}; known: {', '.join(OBJECTIVES)}")
    fine = [point for point in points if not wishes.failed_by(point)]
    if not fine:
        raise ConfigurationError(_why_not(points, wishes))
    if wishes.min_accuracy is None:
        best = max(point.estimate for point in fine)
        fine = [point for point in fine if point.cautious_estimate >= best - TOLERANCE - _ROUNDING] or [
            max(fine, key=lambda point: point.estimate)
        ]
    return min(fine, key=lambda point: (getattr(point, objective), point.p95_ms, point.mean_bytes, -point.estimate))


def _why_not(points: Sequence[Point], wishes: Wishes) -> str:
    if not points:
        return "no deployment can be had under these conditions: the link cannot carry what would have to be sent"
    for name, limit in wishes.to_dict().items():
        if name == "min_accuracy":
            reached = max(min(point.accuracy, point.estimate) for point in points)
            hopeless, text = reached < limit - _ROUNDING, f"the best is {reached:.4f}"
        else:
            reached = min(getattr(point, LIMITS[name]) for point in points)
            hopeless, text = _exceeds(limit, reached), f"the least is {reached:.4g}"
        if hopeless:
            return f"no deployment has {_words(name)} {limit:g}: {text}"
    nearest = min(points, key=lambda point: (len(wishes.failed_by(point)), -point.estimate))
    broken = ", ".join(f"{_words(name)} {wishes.to_dict()[name]:g}" for name in wishes.failed_by(nearest))
    return (
        f"no deployment fulfils all wishes together; the nearest (split {nearest.split}, {nearest.codec or 'local'}: "
        f"accuracy {nearest.estimate:.4f}, p95 {nearest.p95_ms:.3g} ms, {nearest.bytes_per_hour:.3g} bytes an hour) "
        f"fails at {broken}"
    )


def _words(name: str) -> str:
    side, measure = name.split("_", 1)
    return f"{'at least' if side == 'min' else 'at most'} {measure}"


def _exceeds(limit: float | None, value: float) -> bool:
    return limit is not None and value > limit + _ROUNDING
