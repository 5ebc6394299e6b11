"""Segments in ONNX out of a trained network, with halted positions really skipped."""

from specnet.export.latency import cumulative_us
from specnet.export.segments import Segment, export_segments

__all__ = ["Segment", "cumulative_us", "export_segments"]
