"""Labels beside points, kept apart from each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from specnet.tuning.panels import Panel, short_name
from specnet.tuning.points import Point

LETTER, LINE = 6.6, 14.0
"""Pixels of a letter and of a line."""
DISTANCES = (14.0, 26.0, 38.0, 52.0, 68.0, 86.0)
_DIRECTIONS = ((0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1), (1, 0), (-1, 0))
_MARKER, _OTHERS = 4.0, 0.3
NAMED = 2
"""Options that are named where several lie at one place; more are counted."""
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Label:
    """What stands beside the best points of options that lie at one place.

    Parameters
    ----------
    point
        One of them.
    names
        Their options.
    offset
        Pixels to the right of and above the point.
    """

    point: Point
    names: tuple[str, ...]
    offset: tuple[float, float]

    @property
    def text(self) -> str:
        """As short as it must be."""
        return ", ".join(self.names) if len(self.names) <= NAMED else f"{self.names[0]} and {len(self.names) - 1} more"


def make_labels(panel: Panel, width: float, height: float) -> list[Label]:
    """Label the best points of all options on a panel of so many pixels."""
    together: dict[tuple[float, float], list[Point]] = {}
    for point in panel.best.values():
        together.setdefault(panel.place(point), []).append(point)
    labels = [Label(group[0], tuple(map(short_name, group)), (0.0, 0.0)) for group in together.values()]
    others = [point for series in panel.series for point in series.points]
    low, high = panel.scale.on_axis(panel.scale.low), panel.scale.on_axis(panel.scale.high)
    bottom, top = panel.accuracies

    def share(point: Point) -> tuple[float, float]:
        x, y = panel.place(point)
        return (panel.scale.on_axis(x) - low) / (high - low), (y - bottom) / (top - bottom)

    offsets = place_labels(
        [share(label.point) for label in labels],
        [label.text for label in labels],
        [share(point) for point in others],
        width,
        height,
    )
    return [replace(label, offset=offset) for label, offset in zip(labels, offsets, strict=True)]


def place_labels(
    places: Sequence[tuple[float, float]],
    texts: Sequence[str],
    others: Sequence[tuple[float, float]],
    width: float,
    height: float,
) -> list[tuple[float, float]]:
    """Find where the middles of labels stand, each as near to its point as the labels before it allow.

    Parameters
    ----------
    places
        Points as shares of the width and, upwards, of the height.
    texts
        A label for each.
    others
        Points without a label, which are better not covered.
    width, height
        Of the panel in pixels.

    Returns
    -------
    list of (float, float)
        Pixels to the right of and above the point.
    """
    points = [(width * x, height * y) for x, y in places]
    taken: list[Box] = [_marker(x, y) for x, y in points]
    shy = [_marker(width * x, height * y) for x, y in others]
    found = []
    for (x, y), text in zip(points, texts, strict=True):
        half = LETTER * len(text) / 2
        tried = [
            (dx * (half + distance - DISTANCES[0] / 2), dy * distance)
            for distance in DISTANCES
            for dx, dy in _DIRECTIONS
        ]
        boxes = [(x + dx - half, y + dy - LINE / 2, x + dx + half, y + dy + LINE / 2) for dx, dy in tried]
        worth = [
            _outside(box, width, height)
            + sum(_shared(box, other) for other in taken)
            + _OTHERS * sum(_shared(box, other) for other in shy)
            for box in boxes
        ]
        best = min(range(len(tried)), key=worth.__getitem__)
        taken.append(boxes[best])
        found.append(tried[best])
    return found


def _marker(x: float, y: float) -> Box:
    return (x - _MARKER, y - _MARKER, x + _MARKER, y + _MARKER)


def _shared(a: Box, b: Box) -> float:
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def _outside(box: Box, width: float, height: float) -> float:
    inside = _shared(box, (0.0, 0.0, width, height))
    return (box[2] - box[0]) * (box[3] - box[1]) - inside
