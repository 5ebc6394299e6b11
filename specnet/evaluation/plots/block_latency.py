"""Microseconds of residual units against the share of active positions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes

from specnet.evaluation.block_latency import DENSE, ROWS, BlockLatency, by_stage
from specnet.evaluation.plots import style

COLUMNS = 4
COLOURS = (style.BLUE, style.VERMILION, style.GREEN, style.PURPLE, style.ORANGE, style.SKY, style.BLACK)


def plot_block_latency(latencies: Sequence[BlockLatency], path: Path | str) -> Path:
    """Draw one panel a stage: a line a block for gathered rows, dashed where every position runs without gates.

    Parameters
    ----------
    latencies
        What `specnet.evaluation.block_latency.measure_blocks` returns.
    path
        PNG to write.
    """
    stages = by_stage(latencies)
    columns = min(COLUMNS, len(stages))
    rows = -(-len(stages) // columns)
    figure = style.new_figure(0.8 + 3.0 * columns, 0.6 + 2.5 * rows)
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True)
    colours = dict(zip(dict.fromkeys(latency.block for latency in latencies), COLOURS, strict=False))
    for panel, stage in zip(panels.flat, stages, strict=False):
        _draw_stage(panel, stage, colours)
    for panel in panels.flat[len(stages) :]:
        panel.set_visible(False)
    figure.legend(
        *panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=len(colours), frameon=False
    )
    return style.save(figure, path)


def _draw_stage(axes: Axes, stage: Sequence[BlockLatency], colours: dict[str, str]) -> None:
    for block, colour in colours.items():
        own = [latency for latency in stage if latency.block == block]
        rows = sorted((latency.active, latency.us) for latency in own if latency.form == ROWS)
        axes.plot(*zip(*rows, strict=True), color=colour, marker="o", markersize=4, label=f"{block}, active rows")
        for latency in own:
            if latency.form == DENSE:
                axes.axhline(latency.us, color=colour, linestyle=(0, (4, 3)), linewidth=1.2, label=f"{block}, dense")
    first = stage[0]
    axes.set_ylim(bottom=0)
    style.tidy(
        axes,
        title=f"{first.preset} {first.stage}: {first.channels} × {first.positions}",
        x="share of active positions",
        y="µs a unit",
    )
