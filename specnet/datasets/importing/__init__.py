"""Import spectra from files that do not say everything; each importer tells what it assumed or lost."""

from __future__ import annotations

from specnet.datasets.importing.answers import import_answers
from specnet.datasets.importing.csv_text import import_csv
from specnet.datasets.importing.npz import import_npz
from specnet.datasets.importing.options import ImportOptions

__all__ = ["ImportOptions", "import_answers", "import_csv", "import_npz"]
