"""Early-exit methods below each other: accuracy, what they gain over joint training, and what they take."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

from specnet.evaluation.comparison.method_table import BUDGETS, REFERENCE, MethodRow
from specnet.evaluation.comparison.spread import Spread
from specnet.evaluation.plots import style

QUARTER = BUDGETS.index(0.25)
ROW_INCHES = 0.27
FAR = 3.0
"""Times the distance from the best to the lower quartile, below that quartile: what is worse stands at the edge, so
that the others can be told apart."""


def plot_methods(rows: Sequence[MethodRow], path: Path | str, *, title: str = "") -> Path:
    """Draw a line for each method, the most accurate operating point on top.

    Bars are standard errors over seeds or folds; those of gains leave out what seeds and folds do to all methods alike.
    Methods that are far behind stand at the left edge as a triangle with their number.

    Parameters
    ----------
    rows
        What `specnet.evaluation.comparison.method_table.method_rows` gives.
    path
        PNG to write.
    title
        Written above.
    """
    return style.save(draw_methods(rows, title), path)


def draw_methods(rows: Sequence[MethodRow], title: str) -> Figure:
    """Make the figure of `plot_methods`."""
    ordered = sorted(rows, key=lambda row: row.operating_point.mean)
    figure = style.new_figure(12.0, 1.4 + ROW_INCHES * max(4, len(ordered)))
    accuracy, gain, time = figure.subplots(1, 3, sharey=True, width_ratios=(1.2, 1.0, 0.8))
    edge = _edge([spread for row in ordered for spread in (row.budgets[QUARTER], row.operating_point)])
    gain_edge = _edge([spread for row in ordered for spread in (row.quarter_gain, row.gain)])
    for height, row in enumerate(ordered):
        _point(accuracy, row.budgets[QUARTER], height - 0.16, style.SKY, edge, "within a quarter of the MACs")
        _point(accuracy, row.operating_point, height + 0.16, style.BLUE, edge, "operating point")
        _point(gain, row.quarter_gain, height - 0.16, style.SKY, gain_edge)
        _point(gain, row.gain, height + 0.16, style.BLUE, gain_edge)
        if (spread := row.us[QUARTER]) is not None:
            time.plot([spread.mean], [height - 0.16], "o", color=style.SKY, markersize=5)
        time.plot([row.operating_us.mean], [height + 0.16], "o", color=style.BLUE, markersize=5)
    accuracy.set_yticks(range(len(ordered)), [row.method for row in ordered])
    gain.axvline(0.0, color=style.GREY, linewidth=1.0)
    if ordered:
        time.set_xscale("log")
        time.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    time.xaxis.set_major_formatter(EngFormatter(sep=""))
    time.xaxis.set_minor_formatter(NullFormatter())
    style.tidy(accuracy, x="test accuracy (%)", title=title)
    style.tidy(gain, x=f"points more than {REFERENCE} on the same seeds")
    style.tidy(time, x="microseconds, one at a time, one thread")
    handles, labels = accuracy.get_legend_handles_labels()
    known = dict(zip(labels, handles, strict=True))
    if known:
        figure.legend(known.values(), known.keys(), loc="outside lower left", ncols=2, fontsize=9, edgecolor="none")
    return figure


def _edge(spreads: Sequence[Spread | None]) -> float:
    """Least value that is drawn in its place, in percent."""
    means = [100 * spread.mean for spread in spreads if spread is not None]
    if not means:
        return -np.inf
    quartile = float(np.quantile(means, 0.25))
    return quartile - FAR * (max(means) - quartile) - 1.0


def _point(axes: Axes, spread: Spread | None, height: float, colour: str, edge: float, label: str = "") -> None:
    if spread is None:
        return
    mean = 100 * spread.mean
    if mean < edge:
        axes.plot([edge], [height], "<", color=colour, markersize=5)
        beside = axes.annotate(f"{mean:.0f}", (edge, height), (6, 0), textcoords="offset points", fontsize=7)
        beside.set_verticalalignment("center")
        return
    axes.errorbar(
        [mean],
        [height],
        xerr=[100 * (spread.se or 0.0)],
        color=colour,
        marker="o",
        markersize=5,
        linewidth=1.2,
        linestyle="none",
        label=label or None,
    )
