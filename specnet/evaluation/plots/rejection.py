"""How many unknown materials are noticed, against how many known ones are called unknown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from specnet.evaluation.plots.style import BLUE, GREEN, GREY, ORANGE, VERMILION, new_figure, save, tidy

COLOURS = (BLUE, ORANGE, GREEN, VERMILION)


def plot_rejection(
    false_alarms: Sequence[float],
    detections: Mapping[str, Sequence[Sequence[float]]],
    target: float,
    path: Path | str,
    *,
    title: str = "",
) -> Path:
    """Draw the mean ROC curve of every reject score, single runs pale, and the false alarm that was asked for.

    Parameters
    ----------
    false_alarms
        Where curves were read, 0..1.
    detections
        By score: for each run the share of unknown spectra noticed at each of these false alarms.
    target
        The false-alarm rate that the rule was set to.
    path
        PNG to write.
    title
        Above the figure.
    """
    figure = new_figure(5.5, 4.5)
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=":")
    for colour, (score, runs) in zip(COLOURS, detections.items(), strict=False):
        for run in runs:
            axes.plot(false_alarms, run, color=colour, alpha=0.25, linewidth=0.8)
        axes.plot(false_alarms, np.mean(runs, axis=0), color=colour, linewidth=2, label=score)
    axes.axvline(target, color=GREY, linewidth=0.8)
    axes.set(xlim=(0, 1), ylim=(0, 1))
    tidy(axes, title=title, x="known spectra called unknown", y="spectra of unknown classes noticed")
    axes.legend(frameon=False, fontsize=9, loc="lower right")
    return save(figure, path)
