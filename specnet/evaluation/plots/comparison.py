"""Accuracy of many methods against what a prediction costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, NullFormatter

from specnet.evaluation.plots import style

COLOURS = (style.BLUE, style.VERMILION, style.GREEN, style.ORANGE, style.PURPLE, style.SKY, style.BLACK)
MARKERS = "osD^vP<>hX"
VARIANT_MARKERS = "*>s"
PANELS = (
    ("macs", "multiply-accumulates executed per spectrum"),
    ("us", "microseconds per spectrum, one at a time, one thread"),
)
Entry = Mapping[str, Any]


def plot_comparison(
    rows: Sequence[Entry], curves: Mapping[str, Sequence[Mapping[str, float]]], path: Path | str, *, title: str = ""
) -> Path:
    """Draw accuracy against MACs and against microseconds.

    Baselines are grey, networks coloured: a line along what they reach within budgets, a star at the operating point.
    Bars are standard errors over seeds or folds.

    Parameters
    ----------
    rows
        ``rows`` of `specnet.evaluation.comparison.Comparison.to_dict`; those without a result are left out.
    curves
        ``curves`` of the same.
    path
        PNG to write.
    title
        Written above.
    """
    drawn = [row for row in rows if row["accuracy"] is not None]
    figure = style.new_figure(13.0, 5.2)
    panels = figure.subplots(1, 2, sharey=True)
    for axes, (cost, label) in zip(panels, PANELS, strict=True):
        _draw(axes, drawn, curves, cost)
        style.tidy(
            axes, x=label, y="test accuracy (%)" if cost == "macs" else "", title=title if cost == "macs" else ""
        )
    handles, labels = panels[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside right upper", fontsize=8.5, edgecolor="none")
    return style.save(figure, path)


def _draw(axes: Axes, rows: Sequence[Entry], curves: Mapping[str, Sequence[Mapping[str, float]]], cost: str) -> None:
    networks = list(dict.fromkeys(row["method"] for row in rows if row["kind"] == "network"))
    colours = {method: COLOURS[i % len(COLOURS)] for i, method in enumerate(networks)}
    for method, points in curves.items():
        if method in colours:
            x, y = [max(p[cost], 1.0) for p in points], [100 * p["accuracy"] for p in points]
            axes.plot(x, y, color=colours[method], linewidth=1.4, alpha=0.6)
    baseline = variant = 0
    for index, row in enumerate(rows):
        if row["method"] in colours:
            variant = variant + 1 if index and rows[index - 1]["method"] == row["method"] else 0
            marker, colour = VARIANT_MARKERS[variant % len(VARIANT_MARKERS)], colours[row["method"]]
        else:
            marker, colour = MARKERS[baseline % len(MARKERS)], style.GREY if row["kind"] == "baseline" else style.BLACK
            baseline += 1
        axes.errorbar(
            [max(row[cost]["mean"], 1.0)],
            [100 * row["accuracy"]["mean"]],
            yerr=[100 * (row["accuracy"]["se"] or 0.0)],
            color=colour,
            marker=marker,
            markersize=13 if marker == "*" else 6,
            markerfacecolor=colour if marker == "*" or row["kind"] != "network" else "white",
            linestyle="none",
            elinewidth=0.8,
            label=row["label"],
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.xaxis.set_minor_formatter(NullFormatter())
