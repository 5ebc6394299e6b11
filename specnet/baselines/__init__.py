"""Classical classifiers of spectra, fitted and counted alike, to compare networks with.

A `Baseline` fits classifiers for settings; `choose` picks preprocessing and setting on the calibration part.
"""

from __future__ import annotations

from specnet.baselines.choosing import Choice, Part, candidate_pipelines, choose
from specnet.baselines.classifier import Baseline, Classifier, Setting, TrainingSpectra
from specnet.baselines.registry import BASELINES, create_baseline, list_baselines, register_baseline
from specnet.baselines.timing import measure_us

# registration, the plainest first
from specnet.baselines import pls_da, ridge, logistic, lda, nearest, svm_rbf, convolution_kernels  # isort: skip

__all__ = [
    "BASELINES",
    "Baseline",
    "Choice",
    "Classifier",
    "Part",
    "Setting",
    "TrainingSpectra",
    "candidate_pipelines",
    "choose",
    "convolution_kernels",
    "create_baseline",
    "lda",
    "list_baselines",
    "logistic",
    "measure_us",
    "nearest",
    "pls_da",
    "register_baseline",
    "ridge",
    "svm_rbf",
]
