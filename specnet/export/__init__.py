"""Networks in ONNX: segments of a bundle, with halted positions skipped or masked, and graphs to time."""

from specnet.export.exit_graphs import exit_graphs
from specnet.export.fastest import fastest_forms
from specnet.export.last_exit import last_exit_graph
from specnet.export.latency import cumulative_us, last_exit_us
from specnet.export.segments import Segment, export_segments
from specnet.export.units import MASK, SKIP, UnitForm

__all__ = [
    "MASK",
    "SKIP",
    "Segment",
    "UnitForm",
    "cumulative_us",
    "exit_graphs",
    "export_segments",
    "fastest_forms",
    "last_exit_graph",
    "last_exit_us",
]
