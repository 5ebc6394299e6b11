"""What an offload takes in bytes, against what is left of the accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from specnet.evaluation.plots.style import BLUE, GREEN, GREY, ORANGE, VERMILION, new_figure, save, tidy

KINDS = {
    "bottleneck": (BLUE, "learned bottleneck"),
    "components": (ORANGE, "principal components"),
    "features": (GREEN, "features, float16 and int8"),
    "spectrum": (VERMILION, "raw spectrum, lossless"),
}
PAYLOAD = 222
"""Bytes of the largest payload of one LoRaWAN packet."""


def plot_codecs(rows: Sequence[dict[str, Any]], path: Path | str, *, title: str = "") -> Path:
    """Draw accuracy against the mean bytes of a request, a curve for each kind and split point.

    Parameters
    ----------
    rows
        As `specnet.evaluation.codecs.CodecRow.to_dict` gives them.
    path
        PNG to write.
    title
        Above the figure.
    """
    figure = new_figure(6.5, 4.5)
    axes = figure.add_subplot()
    markers = "osD^v<>"
    for kind, (colour, text) in KINDS.items():
        splits = sorted({row["split"] for row in rows if row["kind"] == kind})
        for split in splits:
            found = sorted((r["mean_bytes"], r["accuracy"]) for r in rows if (r["kind"], r["split"]) == (kind, split))
            label = text if len(splits) == 1 else f"{text}, split {split}"
            axes.plot(
                [size for size, _ in found],
                [100 * accuracy for _, accuracy in found],
                color=colour,
                marker=markers[split % len(markers)],
                markersize=5,
                linewidth=1.2,
                label=label,
            )
    if rows:
        axes.axhline(100 * rows[0]["whole_accuracy"], color=GREY, linewidth=0.8, label="nothing coded")
    axes.axvline(PAYLOAD, color=GREY, linewidth=0.8, linestyle=":")
    axes.set_xscale("log")
    tidy(axes, title=title, x="bytes of a request", y="accuracy when every spectrum is sent, %")
    axes.legend(frameon=False, fontsize=8, loc="best")
    return save(figure, path)
