"""Spectra in files: the HDF5 layout, readers and writers, importers, and splits that do not leak.

`SpectraDataset` needs torch and is loaded on first use, so that reading, importing and looking at spectra stays quick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from specnet.datasets.importing import import_answers, import_csv, import_npz
from specnet.datasets.reading import SpectraFile, read_spectra
from specnet.datasets.splits import ensure_holdout, fold_holdout, grouped_holdout
from specnet.datasets.table import Holdout, Instrument, ProcessStep, SpectraTable
from specnet.datasets.writing import write_spectra

if TYPE_CHECKING:
    from specnet.datasets.loading import SpectraDataset

__all__ = [
    "Holdout",
    "Instrument",
    "ProcessStep",
    "SpectraDataset",
    "SpectraFile",
    "SpectraTable",
    "ensure_holdout",
    "fold_holdout",
    "grouped_holdout",
    "import_answers",
    "import_csv",
    "import_npz",
    "read_spectra",
    "write_spectra",
]


def __getattr__(name: str) -> Any:
    if name == "SpectraDataset":
        from specnet.datasets.loading import SpectraDataset

        return SpectraDataset
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
