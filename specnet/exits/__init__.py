"""Exits: how the predictions of one network's exits are combined, when a spectrum leaves, and what is not known.

The same numpy code decides on the device, in the gateway and in the evaluation of cached logits.

Legend: n spectra, C classes, E exits (exit 0 is the linear one), S size of the running state.
"""

from __future__ import annotations

from specnet.exits.combiners import COMBINERS, Combiner, GeometricEnsemble, Last, MeanLogProbability
from specnet.exits.parameters import MAX_BIAS, Parameters
from specnet.exits.policy import MAX_EXITS, NEVER, Decision, ExitPolicy
from specnet.exits.probabilities import Float32, log_softmax
from specnet.exits.rejection import REJECT_SCORES, energy, improbability
from specnet.exits.routing import Routing, route
from specnet.exits.scores import (
    SCORES,
    LearnedGate,
    Patience,
    Score,
    gate_features,
    margin,
    max_probability,
    negentropy,
    schedule_features,
)

__all__ = [
    "COMBINERS",
    "MAX_BIAS",
    "MAX_EXITS",
    "NEVER",
    "REJECT_SCORES",
    "SCORES",
    "Combiner",
    "Decision",
    "ExitPolicy",
    "Float32",
    "GeometricEnsemble",
    "Last",
    "LearnedGate",
    "MeanLogProbability",
    "Parameters",
    "Patience",
    "Routing",
    "Score",
    "energy",
    "gate_features",
    "improbability",
    "log_softmax",
    "margin",
    "max_probability",
    "negentropy",
    "route",
    "schedule_features",
]
