"""Segments in ONNX Runtime on the CPU."""

from __future__ import annotations

from gateway.engines.memory import means_no_memory
from gateway.engines.precision import FLOAT32
from gateway.engines.protocol import Float32
from specnet.bundle import Bundle
from specnet.errors import EngineMemoryError, ModelError
from specnet.runtime import SegmentOutput, Segments


class OnnxEngine:
    """Segments as ONNX graphs on the CPU.

    Parameters
    ----------
    threads
        Threads of one segment call.
    """

    def __init__(self, threads: int = 1) -> None:
        self.name = "onnxruntime"
        self._threads = threads
        self._segments: dict[str, Segments] = {}

    def load(self, bundle: Bundle) -> None:
        """Make the segments ready; `BundleError` when one is no valid ONNX model."""
        self._segments[bundle.bundle_id] = Segments(bundle, threads=self._threads, serving=True)

    def unload(self, bundle_id: str) -> None:
        """Forget a bundle."""
        self._segments.pop(bundle_id, None)

    def run(self, bundle_id: str, segment_index: int, features: Float32) -> SegmentOutput:
        """Run one segment on features ``(n, P, C)``; errors as in `Engine`."""
        segments = self._segments.get(bundle_id)
        if segments is None:
            raise ModelError(f"bundle {bundle_id} is not loaded; loaded: {sorted(self._segments)}")
        try:
            return segments.run(segment_index, features)
        except Exception as error:  # ONNX Runtime's exceptions have no common base but Exception
            if means_no_memory(error):
                raise EngineMemoryError(f"no memory for segment {segment_index} of {len(features)} spectra") from error
            raise

    def precision(self, bundle_id: str) -> str:
        """As the graphs are written."""
        return FLOAT32

    def tolerance(self, bundle: Bundle) -> float:
        """Allow what the bundle states."""
        return bundle.manifest.selftest_tolerance
