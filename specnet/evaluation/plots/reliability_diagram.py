"""Whether a confidence of 90 % means nine right answers in ten."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib.axes import Axes

from specnet.errors import ModelError
from specnet.evaluation.metrics import Reliability
from specnet.evaluation.plots import style

_COLUMNS = 3


def plot_reliability(diagrams: Mapping[str, Reliability], path: Path | str) -> Path:
    """Draw one small reliability diagram for each entry (DeGroot and Fienberg 1983).

    Parameters
    ----------
    diagrams
        Title and bins: the operating point and, beside it, the exits.
    path
        PNG to write.

    Raises
    ------
    ModelError
        When there is nothing to draw.
    """
    if not diagrams:
        raise ModelError("got no reliability diagrams, expected at least one")
    columns = min(_COLUMNS, len(diagrams))
    rows = -(-len(diagrams) // columns)
    figure = style.new_figure(2.9 * columns + 0.5, 2.9 * rows + 0.4)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes, (title, bins) in zip(grid.flat, diagrams.items(), strict=False):
        _draw(axes, title, bins)
    for axes in grid.flat[len(diagrams) :]:
        axes.set_axis_off()
    figure.supxlabel("confidence (black: how many spectra a bin holds)", fontsize=10)
    figure.supylabel("accuracy in the bin", fontsize=10)
    return style.save(figure, path)


def _draw(axes: Axes, title: str, bins: Reliability) -> None:
    """Bars of accuracy, marks at mean confidence, and how many spectra each bin holds as a strip of shade."""
    filled = bins.counts > 0
    width = bins.edges[1] - bins.edges[0]
    centres = (bins.edges[:-1] + width / 2)[filled]
    weight = bins.counts[filled] / bins.counts.sum()
    # the strip below 0.06 shows where spectra are, so that a bad bin with three spectra is seen for what it is
    axes.bar(
        centres, 0.06 * weight / weight.max(), width=width, color=style.BLACK, zorder=3, label="spectra in the bin"
    )
    axes.bar(centres, bins.accuracy[filled], width=0.92 * width, color=style.SKY, zorder=2, label="accuracy")
    axes.plot([0, 1], [0, 1], color=style.GREY, linewidth=1, linestyle=(0, (4, 3)), zorder=4)
    axes.plot(
        bins.confidence[filled],
        bins.accuracy[filled],
        color=style.VERMILION,
        marker="o",
        markersize=4,
        linewidth=1,
        zorder=5,
    )
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.set_aspect("equal")
    style.tidy(axes, title=title)
    axes.text(0.04, 0.93, f"ECE {100 * bins.ece:.1f} %", transform=axes.transAxes, fontsize=9, va="top", zorder=6)
