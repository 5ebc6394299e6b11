"""Figures of an evaluation, each written as a PNG."""

from __future__ import annotations

from specnet.evaluation.plots.accuracy_curve import plot_accuracy_against_macs
from specnet.evaluation.plots.codecs import plot_codecs
from specnet.evaluation.plots.comparison import plot_comparison
from specnet.evaluation.plots.confusion import plot_confusion
from specnet.evaluation.plots.deployment import plot_deployment
from specnet.evaluation.plots.depth_map import plot_depth_maps
from specnet.evaluation.plots.exit_shares import plot_exit_shares
from specnet.evaluation.plots.methods import plot_methods
from specnet.evaluation.plots.rejection import plot_rejection
from specnet.evaluation.plots.reliability_diagram import plot_reliability
from specnet.evaluation.plots.saliency import plot_saliency

__all__ = [
    "plot_accuracy_against_macs",
    "plot_codecs",
    "plot_comparison",
    "plot_confusion",
    "plot_deployment",
    "plot_depth_maps",
    "plot_exit_shares",
    "plot_methods",
    "plot_rejection",
    "plot_reliability",
    "plot_saliency",
]
