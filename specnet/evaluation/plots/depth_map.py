"""Where along the spectrum the layers went."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from numpy.typing import NDArray

from specnet.errors import ModelError
from specnet.evaluation.depth import DepthMaps
from specnet.evaluation.plots import style
from specnet.spectra import SpectralAxis

N_EXAMPLES = 3


def plot_depth_maps(
    depth: DepthMaps,
    spectra: NDArray[np.floating],
    axis: SpectralAxis,
    path: Path | str,
    *,
    examples: tuple[int, ...] | None = None,
    peaks: NDArray[np.bool_] | None = None,
) -> Path:
    """Draw the mean number of executed residual units at every position of every stage, under the spectra.

    Means are over all spectra, each run to the last exit.

    Parameters
    ----------
    depth
        Depth maps of n spectra.
    spectra
        ``(n, n_points)`` as the network sees them.
    axis
        The model's axis.
    path
        PNG to write.
    examples
        Rows drawn one by one; by default those with the least, the median and the most executed units.
    peaks
        ``(n, n_points)``: points on a true band of each spectrum, where bands are known. Under the mean spectrum a
        shade shows for how many spectra a point is on a band; under the examples their own bands are marked.

    Raises
    ------
    ModelError
        When spectra, axis and depth maps do not agree.
    """
    if spectra.shape != (depth.n_spectra, axis.n_points):
        raise ModelError(f"spectra are ({depth.n_spectra}, {axis.n_points}), got {spectra.shape}")
    if peaks is not None and peaks.shape != spectra.shape:
        raise ModelError(f"peaks are {spectra.shape} as spectra are, got {peaks.shape}")
    rows = _spread_rows(depth) if examples is None else examples
    n_stages = len(depth.units)
    figure = style.new_figure(8.6, 2.4 + 0.85 * n_stages + 0.75 * len(rows))
    panels = figure.subplots(
        1 + n_stages + len(rows), 1, sharex=True, height_ratios=[2.2] + [0.75] * n_stages + [0.75] * len(rows)
    )
    _draw_mean_spectrum(panels[0], spectra, axis, peaks)
    for stage, axes in enumerate(panels[1 : n_stages + 1]):
        _draw_stage(axes, depth, stage, axis)
    for axes, row in zip(panels[n_stages + 1 :], rows, strict=True):
        _draw_example(axes, depth, spectra, row, axis)
        if peaks is not None:
            _mark_bands(axes, peaks[row], axis)
    panels[-1].set_xlabel(axis.label, fontsize=10)
    panels[0].set_xlim(axis.values[0], axis.values[-1])
    colours = ScalarMappable(Normalize(0, 1), colormaps[style.SEQUENTIAL])
    figure.colorbar(colours, ax=panels[n_stages + 1 :].tolist() or [panels[-1]], label="share of\nall units", aspect=10)
    return style.save(figure, path)


def position_edges(axis: SpectralAxis, n_positions: int) -> NDArray[np.float64]:
    """Borders ``(P + 1,)`` on the spectral axis of a stage's positions, which divide the points evenly."""
    points = np.arange(axis.n_points, dtype=np.float64)
    return np.interp(np.linspace(0, axis.n_points - 1, n_positions + 1), points, axis.values)


def _spread_rows(depth: DepthMaps) -> tuple[int, ...]:
    total = np.sum([one.sum(axis=1, dtype=np.int64) for one in depth.depths], axis=0)
    order = np.argsort(total, kind="stable")
    return tuple(
        sorted({int(order[i]) for i in np.linspace(0, len(order) - 1, N_EXAMPLES).astype(int)}, key=lambda r: total[r])
    )


def _draw_mean_spectrum(
    axes: Axes, spectra: NDArray[np.floating], axis: SpectralAxis, peaks: NDArray[np.bool_] | None
) -> None:
    mean, spread = spectra.mean(axis=0), spectra.std(axis=0)
    axes.fill_between(
        axis.values, mean - spread, mean + spread, color=style.PALE, linewidth=0, label="± standard deviation"
    )
    axes.plot(axis.values, mean, color=style.BLACK, linewidth=1.2, label="mean spectrum")
    style.tidy(axes, title="Where along the spectrum the residual units ran", y="intensity\n(preprocessed)")
    if peaks is not None:
        _draw_band_share(axes, peaks.mean(axis=0), axis)
    axes.legend(fontsize=8.5, frameon=False, ncols=2, loc="upper right")


def _draw_band_share(axes: Axes, share: NDArray[np.float64], axis: SpectralAxis) -> None:
    """Fill from below by the share of spectra that have a band at a point; the panel's full height is all of them."""
    axes.fill_between(
        axis.values,
        share,
        transform=axes.get_xaxis_transform(),
        color=style.VERMILION,
        alpha=0.2,
        linewidth=0,
        label="share of spectra with a true band here",
    )


def _mark_bands(axes: Axes, on_band: NDArray[np.bool_], axis: SpectralAxis) -> None:
    """Bars along the bottom edge where the spectrum has true bands."""
    axes.fill_between(
        axis.values,
        0.0,
        0.1,
        where=on_band.tolist(),
        transform=axes.get_xaxis_transform(),
        color=style.VERMILION,
        linewidth=0,
        zorder=3,
    )


def _draw_stage(axes: Axes, depth: DepthMaps, stage: int, axis: SpectralAxis) -> None:
    units, maps = depth.units[stage], depth.depths[stage]
    mean = maps.mean(axis=0)
    axes.stairs(mean, position_edges(axis, maps.shape[1]), color=style.BLUE, fill=True, alpha=0.85)
    axes.set_ylim(0, max(units, 1) * 1.05)
    axes.set_yticks([0, max(units, 1)])
    share = mean.mean() / units if units else 0.0
    style.tidy(axes, y=f"stage {stage + 1}\nunits")
    axes.set_title(f"{share:.0%} of full depth", fontsize=8.5, loc="right", color=style.GREY, pad=2)


def _draw_example(axes: Axes, depth: DepthMaps, spectra: NDArray[np.floating], row: int, axis: SpectralAxis) -> None:
    """Draw one spectrum over a strip coloured by the share of all stages' units that ran at each point."""
    ran = np.zeros(axis.n_points)
    for maps in depth.depths:
        position = np.minimum(np.arange(axis.n_points) * maps.shape[1] // axis.n_points, maps.shape[1] - 1)
        ran += maps[row][position]
    share = ran / max(sum(depth.units), 1)
    values = spectra[row]
    low, high = float(values.min()), float(values.max())
    margin = 0.08 * (high - low) or 1.0
    edges = np.interp(np.arange(axis.n_points + 1) - 0.5, np.arange(axis.n_points), axis.values)
    axes.pcolormesh(
        edges, [low - margin, high + margin], share[np.newaxis], cmap=style.SEQUENTIAL, vmin=0, vmax=1, rasterized=True
    )
    axes.plot(axis.values, values, color="white", linewidth=2.2)
    axes.plot(axis.values, values, color=style.BLACK, linewidth=0.9)
    axes.set_yticks([])
    style.tidy(axes, y="example", grid=False)
    axes.set_title(f"{share.mean():.0%} of all units", fontsize=8.5, loc="right", color=style.GREY, pad=2)
