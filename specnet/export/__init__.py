"""Networks in ONNX: segments of a bundle, with halted positions really skipped, and graphs to time."""

from specnet.export.exit_graphs import exit_graphs
from specnet.export.latency import cumulative_us
from specnet.export.segments import Segment, export_segments

__all__ = ["Segment", "cumulative_us", "exit_graphs", "export_segments"]
