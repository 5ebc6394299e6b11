"""Which classes are taken for which."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from specnet.errors import ModelError
from specnet.evaluation.plots import style

MAX_NAMED = 60
"""Up to here every class is named; beyond, only every so many."""
MAX_NUMBERED = 20
_MAX_NAME = 24


def plot_confusion(matrix: NDArray[np.int64], classes: Sequence[str], path: Path | str) -> Path:
    """Draw a confusion matrix, each row as percentages of its true class.

    Parameters
    ----------
    matrix
        Counts ``(C, C)``: true class down, predicted class across.
    classes
        C names.
    path
        PNG to write.

    Raises
    ------
    ModelError
        When names and matrix do not agree.
    """
    n = len(classes)
    if matrix.shape != (n, n):
        raise ModelError(f"a confusion matrix of {n} classes is ({n}, {n}), got {matrix.shape}")
    size = float(np.clip(3.2 + 0.26 * n, 4.5, 16.0))
    figure = style.new_figure(size + 1.2, size)
    axes = figure.add_subplot()
    shares = 100 * matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    figure.colorbar(image, ax=axes, shrink=0.7, label="share of the true class (%)")
    step = 1 if n <= MAX_NAMED else int(np.ceil(n / MAX_NAMED))
    ticks = list(range(0, n, step))
    names = [_shorten(classes[tick]) for tick in ticks]
    fontsize = 9 if n <= 20 else 7.5
    axes.set_xticks(ticks, names, rotation=90, fontsize=fontsize)
    axes.set_yticks(ticks, names, fontsize=fontsize)
    axes.set_xlabel("predicted", fontsize=10)
    axes.set_ylabel("true", fontsize=10)
    axes.set_title(f"operating point: {np.trace(matrix) / max(matrix.sum(), 1):.1%} right", fontsize=11, loc="left")
    if n <= MAX_NUMBERED:
        _write_shares(axes, shares)
    return style.save(figure, path)


def _write_shares(axes: Axes, shares: NDArray[np.float64]) -> None:
    for row, column in np.argwhere(shares >= 0.5):
        share = shares[row, column]
        axes.text(
            column, row, f"{share:.0f}", ha="center", va="center", fontsize=8, color="white" if share > 55 else "black"
        )


def _shorten(name: str) -> str:
    return name if len(name) <= _MAX_NAME else name[: _MAX_NAME - 1] + "…"
