"""One look for all figures: colours that colour-blind readers tell apart, thin frames, no global state.

Figures are made without pyplot, so nothing is kept open and no display is needed.
"""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from specnet.files import write_atomically

# Okabe and Ito 2008, "Color universal design", without the yellow that is too pale for lines on white
BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, BLACK = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#CC79A7",
    "#56B4E9",
    "#000000",
)
GREY = "#7A7A7A"
PALE = "#E6E6E6"
SEQUENTIAL = "cividis"
"""Colour map made for colour-blind readers (Nunez et al. 2018)."""
DPI = 150


def new_figure(width: float, height: float) -> Figure:
    """Empty figure of this size in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def tidy(axes: Axes, *, title: str = "", x: str = "", y: str = "", grid: bool = True) -> None:
    """Label axes and take away what carries no information."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9)
    if title:
        axes.set_title(title, fontsize=11, loc="left")
    if x:
        axes.set_xlabel(x, fontsize=10)
    if y:
        axes.set_ylabel(y, fontsize=10)
    if grid:
        axes.grid(color=PALE, linewidth=0.8)
        axes.set_axisbelow(True)


def save(figure: Figure, path: Path | str) -> Path:
    """Write a PNG atomically."""
    return write_atomically(path, lambda temporary: figure.savefig(temporary, format="png", dpi=DPI))
