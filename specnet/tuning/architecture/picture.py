"""A search as a PNG: what the shapes cost and how good they are, and how fast the best was found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from specnet.evaluation.plots import style
from specnet.tuning.architecture.judging import CostLimit
from specnet.tuning.architecture.searches import COMPLETE, Candidate, Found

WIDTH, HEIGHT = 14.0, 4.6


def pareto_front(candidates: list[Candidate], loss: Callable[[Candidate], float]) -> list[Candidate]:
    """Shapes with less loss than any other of the same MACs or fewer, by MACs."""
    front: list[Candidate] = []
    best = float("inf")
    for one in sorted(candidates, key=lambda one: (one.macs, loss(one))):
        if loss(one) < best:
            best = loss(one)
            front.append(one)
    return front


def draw_search(found: Found, limit: CostLimit, path: Path) -> Path:
    """Draw nats and accuracy against MACs, with the front, and the best nats over processor seconds.

    Parameters
    ----------
    found
        At least one shape of it was trained to the end.
    limit
        Drawn where it is on MACs.
    path
        PNG to write.
    """
    figure = style.new_figure(WIDTH, HEIGHT)
    likelihood, accuracy, progress = figure.subplots(1, 3)
    for axes, shown, sign in ((likelihood, _nats, 1.0), (accuracy, _percent, -1.0)):
        front = pareto_front(found.ranked, lambda one, shown=shown, sign=sign: sign * shown(one))  # type: ignore[misc]
        _scatter(axes, found, shown)
        axes.plot(
            [one.macs for one in front],
            [shown(one) for one in front],
            color=style.BLACK,
            linewidth=1.0,
            marker="o",
            markerfacecolor="none",
            label="front",
        )
        if limit.macs is not None:
            axes.axvline(limit.macs, color=style.GREY, linestyle=":", linewidth=1.0, label="limit")
        axes.set_xscale("log")
    _draw_progress(progress, found)
    style.tidy(likelihood, x="static MACs", y="nats of a calibration spectrum")
    style.tidy(accuracy, x="static MACs", y="calibration accuracy, %")
    style.tidy(progress, x="processor seconds", y="least nats so far")
    handles, texts = likelihood.get_legend_handles_labels()
    figure.legend(handles, texts, loc="outside lower center", ncols=len(handles), fontsize=8.5, frameon=False)
    return style.save(figure, path)


def _scatter(axes: Axes, found: Found, value: Callable[[Candidate], float]) -> None:
    kinds = (("trained to the end", True, "o", style.BLUE), ("broken off", False, "x", style.GREY))
    for label, whole, marker, colour in kinds:
        shown = [one for one in found.candidates if (one.state == COMPLETE) == whole and one.nats is not None]
        axes.plot(
            [one.macs for one in shown],
            [value(one) for one in shown],
            color=colour,
            marker=marker,
            markersize=4.5,
            linestyle="none",
            label=label,
        )


def _nats(candidate: Candidate) -> float:
    assert candidate.nats is not None
    return candidate.nats


def _percent(candidate: Candidate) -> float:
    assert candidate.accuracy is not None
    return 100.0 * candidate.accuracy


def _draw_progress(axes: Axes, found: Found) -> None:
    seconds = np.cumsum([one.seconds for one in found.candidates])
    # candidates of a search that trains once for all shapes cost next to nothing each: what went before is shared
    seconds += found.seconds - (seconds[-1] if len(seconds) else 0.0)
    nats = [one.nats if one.state == COMPLETE and one.nats is not None else np.inf for one in found.candidates]
    best = np.minimum.accumulate(nats)
    known = np.isfinite(best)
    axes.step(seconds[known], best[known], where="post", color=style.BLUE)
    axes.set_xlim(left=0.0)
