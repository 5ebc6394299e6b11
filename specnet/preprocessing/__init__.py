"""Preprocessing that travels inside the bundle: the same numpy code prepares training spectra and runs on the sensor.

A `Pipeline` is a list of declarative steps. `Pipeline.bind` makes it ready for an instrument's axis and checks that the
axis covers what the model needs; the bound pipeline is called with spectra.
"""

from __future__ import annotations

from specnet.preprocessing.absorbance import Absorbance
from specnet.preprocessing.autoscale import Autoscale
from specnet.preprocessing.compress import Compress
from specnet.preprocessing.crop import Crop
from specnet.preprocessing.despike import Despike
from specnet.preprocessing.normalise import Normalise
from specnet.preprocessing.pipeline import BoundPipeline, Pipeline
from specnet.preprocessing.polynomial_baseline import PolynomialBaseline
from specnet.preprocessing.presets import (
    default_pipeline,
    fit_pipeline,
    list_pipelines,
    pipeline_preset,
    suitable_pipelines,
)
from specnet.preprocessing.resample import Resample
from specnet.preprocessing.savitzky_golay import SavitzkyGolay
from specnet.preprocessing.snip_baseline import SnipBaseline
from specnet.preprocessing.snv import StandardNormalVariate
from specnet.preprocessing.step import STEPS, BoundStep, Step, list_steps, register_step

__all__ = [
    "STEPS",
    "Absorbance",
    "Autoscale",
    "BoundPipeline",
    "BoundStep",
    "Compress",
    "Crop",
    "Despike",
    "Normalise",
    "Pipeline",
    "PolynomialBaseline",
    "Resample",
    "SavitzkyGolay",
    "SnipBaseline",
    "StandardNormalVariate",
    "Step",
    "default_pipeline",
    "fit_pipeline",
    "list_pipelines",
    "list_steps",
    "pipeline_preset",
    "register_step",
    "suitable_pipelines",
]
