"""Interactive figures of a tuned deployment, as documents for plotly."""

from __future__ import annotations

from html import escape
from typing import Any

from specnet.evaluation.plots import style
from specnet.tuning.labels import make_labels
from specnet.tuning.measures import duration, energy, number, percent, size
from specnet.tuning.panels import CHOSEN_COLOUR, Panel, Series
from specnet.tuning.points import Point
from specnet.tuning.wording import option_text

HEIGHT = 520
LABEL_WIDTH, LABEL_HEIGHT = 290.0, 240.0
"""Pixels of a panel on a phone, where labels have least room."""
REACHED, BEST, CHOSEN = "best at this cost or less", "best of each option", "chosen"
NEVER = 1.0
"""Confidences are at most 1: nothing leaves at an exit with a threshold above."""


def panel_figure(panel: Panel) -> dict[str, Any]:
    """Traces and layout of one panel, checked by plotly.

    Text is escaped, because plotly reads some HTML.

    Raises
    ------
    ModuleNotFoundError
        Without plotly.
    """
    # `specnet tune` works without it
    import plotly.graph_objects as go

    traces = [_reached(panel), *(_points(panel, series) for series in panel.series), _best(panel), _chosen(panel)]
    figure: dict[str, Any] = go.Figure({"data": traces, "layout": _layout(panel)}).to_plotly_json()
    return figure


def hover_text(point: Point) -> str:
    """All numbers of a point, a line each."""
    return "<br>".join(
        (
            f"<b>{escape(option_text(point))}</b>",
            f"accuracy {100 * point.estimate:.2f} % estimated, {100 * point.accuracy:.2f} % counted",
            f"difference to the best: standard error {100 * point.uncertainty:.2f} points",
            f"latency p50 {duration(point.p50_ms)}, p95 {duration(point.p95_ms)}, mean {duration(point.mean_ms)}",
            f"sent {percent(point.offload_share)}; link taken {100 * point.link_share:.3g} % of the time",
            f"request {size(point.bytes_per_spectrum)}, at most {size(point.largest_bytes)}",
            f"a spectrum {size(point.mean_bytes)}, with overhead {size(point.link_bytes)}",
            f"{size(point.bytes_per_hour)} an hour",
            f"{energy(point.energy_mj)}, {number(point.mean_macs)} multiply-accumulates a spectrum",
            f"leave at the exits: {', '.join(percent(share) for share in point.exit_shares)}",
            f"thresholds: {thresholds_text(point)}",
        )
    )


def thresholds_text(point: Point) -> str:
    """Thresholds of all exits."""
    return ", ".join("never" if t > NEVER else "always" if t <= 0 else f"{t:.3f}" for t in point.thresholds)


def _points(panel: Panel, series: Series) -> dict[str, Any]:
    return {
        **_trace(panel, series.points),
        "name": series.label,
        "marker": {"color": series.colour, "symbol": series.kind.symbol, "size": 8, "opacity": 0.85},
    }


def _best(panel: Panel) -> dict[str, Any]:
    marker = {"color": style.BLACK, "symbol": "circle-open", "size": 14, "line": {"width": 1.5}}
    return {**_trace(panel, tuple(panel.best.values())), "name": BEST, "marker": marker}


def _chosen(panel: Panel) -> dict[str, Any]:
    marker = {"color": CHOSEN_COLOUR, "symbol": "star", "size": 18, "line": {"width": 1, "color": "white"}}
    return {**_trace(panel, (panel.chosen,)), "name": CHOSEN, "marker": marker}


def _trace(panel: Panel, points: tuple[Point, ...]) -> dict[str, Any]:
    places = [panel.place(point) for point in points]
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [x for x, _ in places],
        "y": [y for _, y in places],
        "hovertext": [hover_text(point) for point in points],
        "hoverinfo": "text",
    }


def _reached(panel: Panel) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": REACHED,
        "x": [panel.scale.place(cost) for cost, _ in panel.reached],
        "y": [100 * accuracy for _, accuracy in panel.reached],
        "line": {"color": style.GREY, "width": 1, "shape": "hv", "dash": "dot"},
        "hoverinfo": "skip",
    }


def _layout(panel: Panel) -> dict[str, Any]:
    scale = panel.scale
    title = {"text": panel.measure.title, "standoff": 8}
    return {
        # its look is set here, and the default one is several kilobytes
        "template": "none",
        "height": HEIGHT,
        "margin": {"l": 52, "r": 14, "t": 14, "b": 48},
        "font": {"family": "system-ui, sans-serif", "size": 12},
        "hovermode": "closest",
        "hoverlabel": {"align": "left", "font": {"size": 11}, "bgcolor": "white"},
        "legend": {"orientation": "h", "y": -0.22, "yanchor": "top", "x": 0, "font": {"size": 11}},
        "xaxis": {
            "type": "log" if scale.logarithmic else "linear",
            "range": [scale.on_axis(scale.low), scale.on_axis(scale.high)],
            "tickmode": "array",
            "tickvals": [place for place, _ in scale.ticks],
            "ticktext": [text for _, text in scale.ticks],
            "title": title,
            "gridcolor": style.PALE,
            "zeroline": False,
            "automargin": True,
        },
        "yaxis": {
            "range": list(panel.accuracies),
            "title": {"text": "estimated accuracy, %", "standoff": 6},
            "gridcolor": style.PALE,
            "zeroline": False,
            "automargin": True,
        },
        "shapes": _limits(panel),
        "annotations": _labels(panel),
    }


def _limits(panel: Panel) -> list[dict[str, Any]]:
    line = {"color": CHOSEN_COLOUR, "width": 1, "dash": "dash"}
    shapes: list[dict[str, Any]] = []
    if panel.limit is not None:
        # shapes are placed by values, annotations by logarithms
        x = panel.scale.place(panel.limit)
        shapes.append({"type": "line", "x0": x, "x1": x, "yref": "paper", "y0": 0, "y1": 1, "line": line})
    if panel.floor is not None:
        y = 100 * panel.floor
        shapes.append({"type": "line", "y0": y, "y1": y, "xref": "paper", "x0": 0, "x1": 1, "line": line})
    return shapes


def _labels(panel: Panel) -> list[dict[str, Any]]:
    return [
        {
            "x": panel.scale.on_axis(panel.place(label.point)[0]),
            "y": 100 * label.point.estimate,
            "text": escape(label.text),
            "hovertext": escape(", ".join(label.names)),
            "ax": label.offset[0],
            "ay": -label.offset[1],
            "font": {"size": 11},
            "showarrow": True,
            "arrowhead": 0,
            "arrowwidth": 0.6,
            "arrowcolor": style.GREY,
            "standoff": 7,
        }
        for label in make_labels(panel, LABEL_WIDTH, LABEL_HEIGHT)
    ]
