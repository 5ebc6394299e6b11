"""Networks in ONNX: segments of a bundle, with halted positions really skipped, and graphs to time."""

from specnet.export.exit_graphs import exit_graphs
from specnet.export.last_exit import last_exit_graph
from specnet.export.latency import cumulative_us, last_exit_us
from specnet.export.segments import Segment, export_segments

__all__ = ["Segment", "cumulative_us", "exit_graphs", "export_segments", "last_exit_graph", "last_exit_us"]
