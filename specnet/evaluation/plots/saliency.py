"""Where along the spectrum answers come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from specnet.errors import ModelError
from specnet.evaluation.plots import style
from specnet.spectra import SpectralAxis

MOST_CLASSES = 12
COLOURS = (style.BLUE, style.ORANGE, style.GREEN)


def plot_saliency(
    spectra: NDArray[np.floating],
    saliencies: Mapping[str, NDArray[np.floating]],
    names: Sequence[str],
    axis: SpectralAxis,
    path: Path | str,
) -> Path:
    """Draw the mean absolute saliency of each class under its mean spectrum, one panel a class.

    Parameters
    ----------
    spectra
        ``(C, n_points)`` mean preprocessed spectrum of each class.
    saliencies
        Up to three methods by name, each ``(C, n_points)`` mean absolute saliency; every curve is scaled to its
        highest point.
    names
        C classes; the first `MOST_CLASSES` are drawn.
    axis
        The model's axis.
    path
        PNG to write.

    Raises
    ------
    ModelError
        When shapes do not agree.
    """
    expected = (len(names), axis.n_points)
    for what, values in {"spectra": spectra, **saliencies}.items():
        if values.shape != expected or not names:
            raise ModelError(f"{what}: expected (classes >= 1, points) = {expected}, got {values.shape}")
    drawn = min(len(names), MOST_CLASSES)
    figure = style.new_figure(9.0, 1.0 + 1.25 * drawn)
    panels = figure.subplots(drawn, 1, sharex=True, squeeze=False)[:, 0]
    for row, panel in enumerate(panels):
        for (method, values), colour in zip(saliencies.items(), COLOURS, strict=False):
            height = values[row] / (values[row].max() or 1.0)
            panel.fill_between(axis.values, height, color=colour, alpha=0.35, linewidth=0, label=method)
        low, high = float(spectra[row].min()), float(spectra[row].max())
        panel.plot(axis.values, (spectra[row] - low) / ((high - low) or 1.0), color=style.BLACK, linewidth=0.8)
        panel.set_yticks([])
        panel.set_ylim(0, 1.05)
        style.tidy(panel, grid=False)
        panel.set_title(names[row], fontsize=8.5, loc="left", pad=2)
    panels[-1].set_xlabel(axis.label, fontsize=10)
    panels[-1].set_xlim(axis.values[0], axis.values[-1])
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=8.5, frameon=False, loc="outside upper right", ncols=len(labels))
    if drawn < len(names):
        figure.suptitle(f"{drawn} of {len(names)} classes", fontsize=8.5, x=0.02, ha="left")
    return style.save(figure, path)
