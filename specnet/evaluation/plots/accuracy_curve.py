"""Accuracy against executed compute."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

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
    budgeted, point = report["budgeted"], report["operating_point"]
    axes.plot(
        *_curve(budgeted, "mean_macs", "accuracy"),
        color=style.BLUE,
        marker=".",
        linewidth=2,
        label="budgeted: spectra leave when confident",
    )
    axes.plot(
        *_curve(report["exits"], "macs", "combined_accuracy"),
        color=style.ORANGE,
        marker="o",
        markersize=7,
        linestyle="none",
        label="anytime: all leave at one exit, combined",
    )
    axes.plot(
        *_curve(report["exits"], "macs", "accuracy"),
        color=style.GREY,
        marker="x",
        markersize=7,
        linestyle="none",
        label="the exit's own prediction",
    )
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
    axes.axhline(
        100 * report["static"]["accuracy"],
        color=style.BLACK,
        linewidth=1,
        linestyle=(0, (4, 3)),
        label=f"last exit alone: {report['static']['accuracy']:.1%}",
    )
    _label_exits(axes, report)
    axes.axvline(
        report["static_macs"], color=style.GREY, linewidth=1, linestyle=":", label="full network, every position"
    )
    axes.set_xscale("log")
    style.tidy(axes, x="executed multiply-accumulates per spectrum", y="test accuracy (%)")
    axes.legend(fontsize=8.5, edgecolor="none", framealpha=0.9, loc="lower right" if _rises(report) else "best")
    return style.save(figure, path)


def _curve(entries: list[dict[str, Any]], x: str, y: str) -> tuple[list[float], list[float]]:
    """Costs and accuracies in percent, by cost; a log axis has no zero."""
    ordered = sorted(entries, key=lambda entry: float(entry[x]))
    return [max(float(entry[x]), 1.0) for entry in ordered], [100 * float(entry[y]) for entry in ordered]


def _label_exits(axes: Axes, report: Mapping[str, Any]) -> None:
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


def _rises(report: Mapping[str, Any]) -> bool:
    exits = report["exits"]
    return bool(exits[-1]["combined_accuracy"] > exits[0]["combined_accuracy"])
