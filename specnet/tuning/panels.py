"""What the figures of a tuned deployment show, whoever draws them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib import colormaps
from matplotlib.colors import to_hex

from specnet.codec import CODECS, RAW
from specnet.evaluation.plots import style
from specnet.tuning.deployment import Deployment, option_name
from specnet.tuning.measures import LATENCY, MEASURES, Measure
from specnet.tuning.points import Point
from specnet.tuning.scales import Scale

CHOSEN_COLOUR = style.VERMILION
_COLOURS = (style.BLUE, style.ORANGE, style.GREEN, style.PURPLE, style.SKY, style.BLACK)
_ROOM = 0.06
_LIMITS = {"p95_ms": "max_p95_ms", "energy_mj": "max_energy_mj"}


@dataclass(frozen=True)
class Kind:
    """How points of one kind of codec are named and marked, by plotly and by matplotlib."""

    text: str
    symbol: str
    marker: str


KINDS = {
    "local": Kind("all on the device", "circle", "o"),
    "bottleneck": Kind("learned bottleneck", "diamond", "D"),
    "features": Kind("features as they are", "square", "s"),
    "spectrum": Kind("raw spectrum", "triangle-up", "^"),
}


def kind_of(codec: str) -> str:
    """Key of `KINDS` for the name of a codec."""
    if not codec:
        return "local"
    if codec == RAW:
        return "spectrum"
    return "features" if codec in CODECS else "bottleneck"


@dataclass(frozen=True)
class Series:
    """Points of the front with one split point and kind of codec."""

    split: int
    kind: Kind
    colour: str
    points: tuple[Point, ...]

    @property
    def label(self) -> str:
        """What a legend says."""
        return self.kind.text if self.kind is KINDS["local"] else f"split {self.split}, {self.kind.text}"


@dataclass(frozen=True)
class Panel:
    """Accuracy against one cost.

    Parameters
    ----------
    measure, scale
        The cost and its axis.
    series
        The front; in each, colours stand for split points and markers for kinds of codec.
    best
        Best point of each option, by name.
    chosen
        The chosen point.
    reached
        Costs and estimated accuracies, 0..1, of the points that are better than all that cost less.
    accuracies
        Ends of the axis of accuracies, in per cent.
    limit, floor
        Largest cost and smallest accuracy that were wished for; None for no limit.
    """

    measure: Measure
    scale: Scale
    series: tuple[Series, ...]
    best: Mapping[str, Point]
    chosen: Point
    reached: tuple[tuple[float, float], ...]
    accuracies: tuple[float, float]
    limit: float | None
    floor: float | None

    def cost(self, point: Point) -> float:
        """Cost of a point."""
        return float(getattr(point, self.measure.name))

    def place(self, point: Point) -> tuple[float, float]:
        """Where a point is drawn; the accuracy in per cent."""
        return self.scale.place(self.cost(point)), 100 * point.estimate


def shown_points(deployment: Deployment) -> list[Point]:
    """All points that figures show, each once, the front first."""
    return list(dict.fromkeys((*deployment.front, *deployment.best_of_options.values(), deployment.chosen)))


def make_panels(deployment: Deployment) -> list[Panel]:
    """One panel for each cost; those of which all points have 0 are left out, except for latency."""
    points, series = shown_points(deployment), make_series(deployment.front)
    floor = deployment.wishes.get("min_accuracy")
    panels = []
    for measure in MEASURES:
        costs = [float(getattr(point, measure.name)) for point in points]
        if not any(costs) and measure is not LATENCY:
            continue
        limit = deployment.wishes.get(_LIMITS.get(measure.name, ""))
        panels.append(
            Panel(
                measure=measure,
                scale=Scale.of(costs if limit is None else [*costs, limit], measure),
                series=series,
                best=deployment.best_of_options,
                chosen=deployment.chosen,
                reached=_reached(sorted(zip(costs, (point.estimate for point in points), strict=True))),
                accuracies=_accuracy_ends([point.estimate for point in points], floor),
                limit=limit,
                floor=floor,
            )
        )
    return panels


def make_series(front: Sequence[Point]) -> tuple[Series, ...]:
    """Sort the front by split point and kind of codec."""
    groups: dict[tuple[int, str], list[Point]] = {}
    for point in front:
        groups.setdefault((point.split, kind_of(point.codec)), []).append(point)
    splits = sorted({split for split, _ in groups})
    colours = _COLOURS if len(splits) <= len(_COLOURS) else _spread(len(splits))
    by_split = dict(zip(splits, colours, strict=False))
    return tuple(
        Series(split, KINDS[kind], by_split[split], tuple(groups[split, kind])) for split, kind in sorted(groups)
    )


def short_name(point: Point) -> str:
    """Name of a point's option that fits beside a marker."""
    return option_name(point) if point.codec else "device"


def _reached(points: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    best: list[tuple[float, float]] = []
    for cost, accuracy in points:
        if not best or accuracy > best[-1][1]:
            # of several that cost the same the most accurate one counts
            best = [one for one in best if one[0] < cost]
            best.append((cost, accuracy))
    return tuple(best)


def _accuracy_ends(accuracies: Sequence[float], floor: float | None) -> tuple[float, float]:
    low, high = 100 * min(accuracies), 100 * max(accuracies)
    span = (high - low) or 1.0
    # a wish far below all points would press them together
    if floor is not None and low - span / 2 < 100 * floor:
        low = min(low, 100 * floor)
    return low - _ROOM * span, high + _ROOM * span


def _spread(n: int) -> tuple[str, ...]:
    return tuple(to_hex(colormaps[style.SEQUENTIAL](index / (n - 1))) for index in range(n))
