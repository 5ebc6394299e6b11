"""Plots of files of spectra."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from specnet.datasets.statistics import SpectraStatistics
from specnet.files import write_atomically

MAX_CLASSES = 14
DPI = 150


def plot_classes(statistics: SpectraStatistics, path: Path | str, *, title: str = "") -> Path:
    """Draw the mean spectrum of each class with its spread, one above the other, as PNG.

    Spectra are standardised (mean 0, deviation 1) so that shapes compare whatever the signal; of many classes the
    `MAX_CLASSES` largest are drawn.

    Parameters
    ----------
    statistics
        From `collect_statistics`.
    path
        The picture.
    title
        Above the plot.
    """
    from matplotlib import colormaps
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    largest = np.argsort(-statistics.counts, kind="stable")[:MAX_CLASSES]
    shown = [int(index) for index in sorted(largest) if statistics.counts[index]]
    figure = Figure(figsize=(9.0, 1.8 + 0.62 * max(3, len(shown))), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    palette = colormaps["tab10"]
    offset = 0.0
    for place, index in enumerate(shown):
        low = statistics.mean[index] - statistics.spread[index]
        high = statistics.mean[index] + statistics.spread[index]
        base = offset - float(low.min())
        _draw_class(axes, statistics, index, base, palette(place % palette.N))
        # a rare wide spread may cross the class above; a mean never does
        offset = base + max(float(np.quantile(high, 0.995)), float(statistics.mean[index].max())) + 0.25
    _label_axes(axes, statistics, len(shown), title)
    return write_atomically(path, lambda temporary: figure.savefig(temporary, format="png", dpi=DPI))


def _draw_class(axes: Any, statistics: SpectraStatistics, index: int, base: float, colour: Any) -> None:
    x, mean, spread = statistics.axis.values, statistics.mean[index], statistics.spread[index]
    axes.fill_between(x, base + mean - spread, base + mean + spread, color=colour, alpha=0.22, linewidth=0)
    axes.plot(x, base + mean, color=colour, linewidth=1.1)
    # the name sits where the curve ends, so nobody matches colours with a legend
    axes.annotate(
        f"{statistics.class_names[index]}  ({statistics.counts[index]})",
        (x[-1], base + float(mean[-max(1, len(mean) // 50) :].mean())),
        xytext=(6, 0),
        textcoords="offset points",
        color=colour,
        fontsize=8.5,
        va="center",
        annotation_clip=False,
    )


def _label_axes(axes: Any, statistics: SpectraStatistics, n_shown: int, title: str) -> None:
    n_classes = int((statistics.counts > 0).sum())
    heading = "mean ± one standard deviation, each spectrum standardised"
    if n_shown < n_classes:
        heading += f"; the {n_shown} largest of {n_classes} classes"
    axes.set_title(f"{title}\n{heading}" if title else heading, fontsize=10, loc="left")
    axes.set_xlabel(statistics.axis.label)
    axes.set_ylabel("Intensity (standardised, offset)")
    axes.set_yticks([])
    axes.set_xlim(statistics.axis.values[0], statistics.axis.values[-1])
    axes.margins(y=0.02)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.grid(axis="x", alpha=0.25, linewidth=0.6)
