"""The figures of a tuned deployment side by side as a PNG."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter, NullLocator

from specnet.evaluation.plots import style
from specnet.tuning.deployment import Deployment
from specnet.tuning.figures import BEST, CHOSEN, REACHED
from specnet.tuning.labels import make_labels
from specnet.tuning.panels import CHOSEN_COLOUR, Panel, make_panels

WIDTH, HEIGHT = 5.2, 5.4
"""Inches of a panel."""
_SHARE_OF_PANEL = 0.8
_POINTS_AN_INCH = 72


def draw_tuning(deployment: Deployment, path: Path | str) -> Path:
    """Draw accuracy against latency, bytes and energy; costs that are 0 everywhere are left out.

    Parameters
    ----------
    deployment
        What tuning decided.
    path
        PNG to write.
    """
    panels = make_panels(deployment)
    figure = style.new_figure(1.0 + WIDTH * len(panels), HEIGHT)
    drawn = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axes, panel in zip(drawn, panels, strict=True):
        _draw(axes, panel)
        style.tidy(axes, x=panel.measure.title, y="estimated accuracy, %" if axes is drawn[0] else "")
    # names of runs and profiles may hold the sign that starts a formula
    title = f"{deployment.run} on {deployment.device.name} over {deployment.link.name}".replace("$", r"\$")
    figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    handles, texts = drawn[0].get_legend_handles_labels()
    figure.legend(handles, texts, loc="outside lower center", ncols=2 * len(panels), fontsize=8.5, frameon=False)
    return style.save(figure, path)


def _draw(axes: Axes, panel: Panel) -> None:
    scale = panel.scale
    if scale.logarithmic:
        axes.set_xscale("log")
    axes.set_xlim(scale.low, scale.high)
    axes.set_ylim(*panel.accuracies)
    axes.set_xticks([place for place, _ in scale.ticks], [text for _, text in scale.ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.step(
        [scale.place(cost) for cost, _ in panel.reached],
        [100 * accuracy for _, accuracy in panel.reached],
        where="post",
        color=style.GREY,
        linewidth=0.9,
        linestyle=":",
        label=REACHED,
    )
    for series in panel.series:
        places = [panel.place(point) for point in series.points]
        axes.plot(
            [x for x, _ in places],
            [y for _, y in places],
            color=series.colour,
            marker=series.kind.marker,
            markersize=5,
            linestyle="none",
            label=series.label,
        )
    best = [panel.place(point) for point in panel.best.values()]
    axes.plot(
        [x for x, _ in best],
        [y for _, y in best],
        color=style.BLACK,
        marker="o",
        markersize=10,
        markerfacecolor="none",
        linestyle="none",
        label=BEST,
    )
    x, y = panel.place(panel.chosen)
    axes.plot(
        [x],
        [y],
        color=CHOSEN_COLOUR,
        marker="*",
        markersize=15,
        markeredgecolor="white",
        linestyle="none",
        zorder=5,
        label=CHOSEN,
    )
    if panel.limit is not None:
        axes.axvline(scale.place(panel.limit), color=CHOSEN_COLOUR, linewidth=0.9, linestyle="--")
    if panel.floor is not None:
        axes.axhline(100 * panel.floor, color=CHOSEN_COLOUR, linewidth=0.9, linestyle="--")
    _label(axes, panel)


def _label(axes: Axes, panel: Panel) -> None:
    width, height = (_SHARE_OF_PANEL * _POINTS_AN_INCH * inches for inches in (WIDTH, HEIGHT))
    for label in make_labels(panel, width, height):
        axes.annotate(
            label.text.replace("$", r"\$"),
            panel.place(label.point),
            textcoords="offset points",
            xytext=label.offset,
            ha="center",
            va="center",
            fontsize=8,
            arrowprops={"arrowstyle": "-", "color": style.GREY, "linewidth": 0.5, "shrinkB": 5},
        )
