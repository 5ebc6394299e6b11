"""Searches compared, as a PNG: every trained shape, and the mean of each search with its standard error."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from specnet.evaluation.plots import style
from specnet.tuning.architecture.comparison import Outcome, summarise

COLOURS = (style.BLUE, style.ORANGE, style.GREEN, style.VERMILION, style.PURPLE, style.SKY)
PANELS = (("accuracy", "test accuracy, %", 100.0), ("nats", "nats of a test spectrum", 1.0))


def draw_comparison(outcomes: Sequence[Outcome], path: Path, *, title: str) -> Path:
    """Draw accuracy and nats of the test part against static MACs.

    Parameters
    ----------
    outcomes
        One for each method and seed.
    path
        PNG to write.
    title
        Above the panels.
    """
    figure = style.new_figure(11.0, 4.6)
    drawn = figure.subplots(1, len(PANELS))
    for axes, (name, label, factor) in zip(drawn, PANELS, strict=True):
        for colour, (method, spreads) in zip(_cycle(outcomes), summarise(outcomes).items(), strict=False):
            own = [one for one in outcomes if one.method == method]
            axes.plot(
                [one.macs for one in own],
                [factor * getattr(one, name) for one in own],
                color=colour,
                marker=".",
                linestyle="none",
            )
            axes.errorbar(
                spreads["macs"].mean,
                factor * spreads[name].mean,
                xerr=spreads["macs"].se,
                yerr=None if (se := spreads[name].se) is None else factor * se,
                color=colour,
                marker="s",
                markersize=7,
                capsize=3,
                label=method,
            )
        style.tidy(axes, x="static MACs", y=label)
    figure.suptitle(title.replace("$", r"\$"), fontsize=11, x=0.01, ha="left")
    handles, texts = drawn[0].get_legend_handles_labels()
    figure.legend(handles, texts, loc="outside lower center", ncols=len(handles), fontsize=8.5, frameon=False)
    return style.save(figure, path)


def _cycle(outcomes: Sequence[Outcome]) -> list[str]:
    return [COLOURS[index % len(COLOURS)] for index in range(len(outcomes))]
