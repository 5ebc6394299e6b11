"""ONNX graphs made ready to be timed."""

from __future__ import annotations

import onnxruntime as ort


def open_session(graph: bytes, threads: int = 1) -> ort.InferenceSession:
    """Session on the CPU with so many threads inside an operator, and one operator at a time."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
