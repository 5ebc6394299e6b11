"""Latencies as tuning predicted them and as they were measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specnet.evaluation.plots.style import BLUE, GREY, VERMILION, new_figure, save, tidy


def plot_deployment(
    predicted_ms: NDArray[np.float64],
    measured_ms: NDArray[np.float64],
    predicted_shares: NDArray[Any],
    measured_shares: NDArray[Any],
    path: Path | str,
    *,
    title: str = "",
) -> Path:
    """Draw the share of answers that have come against the time, and beside it the shares of the exits.

    Parameters
    ----------
    predicted_ms, measured_ms
        Latencies, any number of each.
    predicted_shares, measured_shares
        ``(E,)`` share of spectra at each exit, 0..1.
    path
        PNG to write.
    title
        Above the figure.
    """
    figure = new_figure(10.0, 4.2)
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    for values, colour, name in ((predicted_ms, BLUE, "predicted"), (measured_ms, VERMILION, "measured")):
        left.step(np.sort(values), 100 * np.arange(1, len(values) + 1) / len(values), color=colour, label=name)
    for share in (50, 95):
        left.axhline(share, color=GREY, linewidth=0.8, linestyle=":")
    left.set_xscale("log")
    tidy(left, title=title, x="from counts to the final answer, ms", y="answers that have come, %")
    left.legend(frameon=False, fontsize=9)
    places = np.arange(len(predicted_shares))
    right.bar(places - 0.2, 100 * predicted_shares, 0.4, color=BLUE)
    right.bar(places + 0.2, 100 * measured_shares, 0.4, color=VERMILION)
    right.set_xticks(places)
    tidy(right, x="exit", y="spectra that leave there, %")
    return save(figure, path)
