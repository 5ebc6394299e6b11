"""specnet: spectrum classification on the sensor, finished by a gateway when in doubt.

Public names are loaded on first use, so that ``import specnet`` costs nothing on a small device.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_PUBLIC = {
    "SpectralAxis": "specnet.spectra",
    "Quantity": "specnet.spectra",
    "SpecNetClassifier": "specnet.estimator",
    "SpecnetError": "specnet.errors",
    "Predictor": "specnet.runtime",
    "load_bundle": "specnet.runtime",
    "create_model": "specnet.nn",
    "list_methods": "specnet.training",
    "list_models": "specnet.nn",
    "read_spectra": "specnet.datasets",
    "write_spectra": "specnet.datasets",
}

__all__ = ["__version__", *sorted(_PUBLIC)]

if TYPE_CHECKING:
    from specnet.datasets import read_spectra as read_spectra
    from specnet.datasets import write_spectra as write_spectra
    from specnet.errors import SpecnetError as SpecnetError
    from specnet.estimator import SpecNetClassifier as SpecNetClassifier
    from specnet.nn import create_model as create_model
    from specnet.nn import list_models as list_models
    from specnet.runtime import Predictor as Predictor
    from specnet.runtime import load_bundle as load_bundle
    from specnet.spectra import Quantity as Quantity
    from specnet.spectra import SpectralAxis as SpectralAxis
    from specnet.training import list_methods as list_methods


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'specnet' has no attribute {name!r}")
    value = getattr(import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
