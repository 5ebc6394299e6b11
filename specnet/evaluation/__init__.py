"""How good a calibrated network is on the test split, at every exit, budget and at its operating point.

Figures are in `specnet.evaluation.plots`, so that measuring needs no matplotlib.
"""

from __future__ import annotations

from specnet.evaluation.depth import ComputeOnPeaks, DepthMaps
from specnet.evaluation.metrics import (
    Reliability,
    accuracy,
    balanced_accuracy,
    confusion_matrix,
    expected_calibration_error,
    reliability,
)
from specnet.evaluation.rejection import evaluate_rejection
from specnet.evaluation.report import evaluate
from specnet.evaluation.worth import Worth, worth_of_run

__all__ = [
    "ComputeOnPeaks",
    "DepthMaps",
    "Reliability",
    "Worth",
    "accuracy",
    "balanced_accuracy",
    "confusion_matrix",
    "evaluate",
    "evaluate_rejection",
    "expected_calibration_error",
    "reliability",
    "worth_of_run",
]
