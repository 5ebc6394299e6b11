"""After training: what confidences mean, how exits are combined, and when a spectrum leaves.

Everything works on cached logits of the calibration split.
"""

from __future__ import annotations

from specnet.calibration.budget import exit_distribution, thresholds_for_budget, thresholds_for_distribution
from specnet.calibration.cached import CachedLogits
from specnet.calibration.candidates import Candidate
from specnet.calibration.fitting import calibrate
from specnet.calibration.operating_point import OperatingPoint
from specnet.calibration.reject import RejectControl, conformal_threshold
from specnet.calibration.result import Calibration, parse_calibration, read_calibration
from specnet.calibration.risk import RiskControl, RiskMethod
from specnet.calibration.temperature import fit_temperature, fit_temperatures

__all__ = [
    "CachedLogits",
    "Calibration",
    "Candidate",
    "OperatingPoint",
    "RejectControl",
    "RiskControl",
    "RiskMethod",
    "calibrate",
    "conformal_threshold",
    "exit_distribution",
    "fit_temperature",
    "fit_temperatures",
    "parse_calibration",
    "read_calibration",
    "thresholds_for_budget",
    "thresholds_for_distribution",
]
