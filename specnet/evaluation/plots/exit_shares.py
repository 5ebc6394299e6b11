"""Where spectra leave."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.ticker import NullLocator

from specnet.evaluation.plots import style


def plot_exit_shares(report: Mapping[str, Any], path: Path | str) -> Path:
    """Draw the share of spectra that leave at each exit: at the operating point, and for every budget.

    Parameters
    ----------
    report
        What `specnet.evaluation.evaluate` returns.
    path
        PNG to write.
    """
    figure = style.new_figure(9.0, 4.0)
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.5])
    n_exits = len(report["exits"])
    colours = colormaps[style.SEQUENTIAL](np.linspace(0.05, 0.95, n_exits))
    shares = 100 * np.asarray(report["operating_point"]["exit_shares"])
    bars = left.bar(np.arange(n_exits), shares, color=colours, width=0.75)
    left.bar_label(bars, labels=[f"{share:.0f} %" for share in shares], fontsize=9, padding=2)
    left.set_xticks(np.arange(n_exits))
    left.set_ylim(0, max(1.0, 1.15 * shares.max()))
    style.tidy(left, title="operating point", x="exit", y="share of test spectra (%)")
    left.grid(visible=False, axis="x")

    entries = sorted(report["budgeted"], key=lambda entry: float(entry["mean_macs"]))
    stack = 100 * np.asarray([entry["exit_shares"] for entry in entries])
    positions = np.arange(len(entries))
    bottom = np.zeros(len(entries))
    for k in range(n_exits):
        right.bar(positions, stack[:, k], bottom=bottom, color=colours[k], width=0.85, label=f"exit {k}")
        bottom += stack[:, k]
    right.set_xticks(positions, [f"{entry['mean_macs'] / report['static_macs']:.1%}" for entry in entries], rotation=45)
    right.xaxis.set_minor_locator(NullLocator())
    right.set_ylim(0, 100)
    style.tidy(right, title="budgets", x="mean executed MACs, share of the full network", grid=False)
    right.legend(fontsize=9, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5), reverse=True)
    return style.save(figure, path)
