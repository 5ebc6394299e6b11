"""Accuracy against executed compute."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

from specnet.evaluation.plots import style


def plot_accuracy_against_macs(report: Mapping[str, Any], path: Path | str) -> Path:
    """Draw anytime mode (a dot an exit), budgeted mode (a line), the operating point and the full network.

    Parameters
    ----------
    report
        What `specnet.evaluation.evaluate` returns.
    path
        PNG to write.
    """
    figure = style.new_figure(7.2, 4.6)
    axes = figure.add_subplot()
    _draw_curves(axes, report)
    _draw_references(axes, report)
    axes.set_xscale("log")
    # 1, 2 and 5 of each decade: a curve often spans less than two
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.xaxis.set_minor_formatter(NullFormatter())
    style.tidy(axes, x="executed multiply-accumulates per spectrum", y="test accuracy (%)")
    axes.legend(fontsize=8.5, edgecolor="none", framealpha=0.9, loc="lower right" if _rises(report) else "best")
    return style.save(figure, path)


def _draw_curves(axes: Axes, report: Mapping[str, Any]) -> None:
    curves = [
        ("budgeted", "mean_macs", "accuracy", "budgeted: spectra leave when confident", style.BLUE, ".", "-"),
        ("within_budget", "mean_macs", "accuracy", "best thresholds within a budget", style.GREEN, ".", (0, (5, 1))),
        ("exits", "macs", "combined_accuracy", "anytime: all leave at one exit, combined", style.ORANGE, "o", "none"),
        ("exits", "macs", "accuracy", "the exit's own prediction", style.GREY, "x", "none"),
    ]
    for entries, x, y, label, colour, marker, line in curves:
        axes.plot(
            *_curve(report[entries], x, y),
            label=label,
            color=colour,
            marker=marker,
            markersize=7,
            linestyle=line,
            linewidth=2,
        )
    for entry in report["exits"]:
        axes.annotate(
            f"exit {entry['exit']}",
            (max(entry["macs"], 1.0), 100 * entry["combined_accuracy"]),
            textcoords="offset points",
            xytext=(0, 9),
            ha="center",
            fontsize=8,
            color=style.GREY,
        )


def _draw_references(axes: Axes, report: Mapping[str, Any]) -> None:
    """Mark the operating point and what the full network does and costs."""
    point, static = report["operating_point"], report["static"]["accuracy"]
    axes.plot(
        [point["mean_macs"]],
        [100 * point["accuracy"]],
        color=style.VERMILION,
        marker="*",
        markersize=17,
        linestyle="none",
        zorder=5,
        label=f"operating point: {point['accuracy']:.1%} at {point['mean_macs'] / report['static_macs']:.0%} of full",
    )
    dashes = (0, (4, 3))
    axes.axhline(100 * static, color=style.BLACK, linewidth=1, linestyle=dashes, label=f"last exit alone: {static:.1%}")
    axes.axvline(
        report["static_macs"], color=style.GREY, linewidth=1, linestyle=":", label="full network, every position"
    )


def _curve(entries: list[dict[str, Any]], x: str, y: str) -> tuple[list[float], list[float]]:
    """Costs and accuracies in percent, by cost; a log axis has no zero."""
    ordered = sorted(entries, key=lambda entry: float(entry[x]))
    return [max(float(entry[x]), 1.0) for entry in ordered], [100 * float(entry[y]) for entry in ordered]


def _rises(report: Mapping[str, Any]) -> bool:
    exits = report["exits"]
    return bool(exits[-1]["combined_accuracy"] > exits[0]["combined_accuracy"])
