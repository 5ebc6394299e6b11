"""Many methods on one file of spectra: accuracy against compute and time, over seeds and folds.

A *cell* is one method with one seed on one fold; each is a JSON file of its own, so an interrupted comparison goes on
where it was.
"""

from __future__ import annotations

from specnet.evaluation.comparison.cell import Cell, Task
from specnet.evaluation.comparison.compare import Comparison, compare
from specnet.evaluation.comparison.methods import default_methods, early_exit_methods, list_methods
from specnet.evaluation.comparison.plan import Plan, default_folds
from specnet.evaluation.comparison.rows import Row, summarise
from specnet.evaluation.comparison.spread import Spread
from specnet.evaluation.comparison.tables import write_tables
from specnet.evaluation.comparison.worth import worth_of_depth

__all__ = [
    "Cell",
    "Comparison",
    "Plan",
    "Row",
    "Spread",
    "Task",
    "compare",
    "default_folds",
    "default_methods",
    "early_exit_methods",
    "list_methods",
    "summarise",
    "worth_of_depth",
    "write_tables",
]
