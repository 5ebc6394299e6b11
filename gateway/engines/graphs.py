"""CUDA graphs: one launch for all kernels of a segment.

A segment of a small network is some dozens of kernels of a few microseconds each, and launching them one by one takes
longer than they run. Recorded as a graph they are launched at once. That needs shapes that never depend on the data:
`specnet.nn.SpecNet.run_segment` computes residual units at every position and multiplies them by the gates, so halted
positions give the same answers as gathered ones do in ONNX Runtime, and the depth is the count of open gates.
(https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs)
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor

from gateway.engines.lanes import Compute, Replay

WARM_UP = 3


class GraphCapture:
    """Records computations on one stream.

    All graphs take their memory from one pool. They may, because they are replayed one after the other and what one of
    them gives is copied away before the next one begins.

    Parameters
    ----------
    stream
        Where the graphs are replayed too.
    """

    def __init__(self, stream: torch.cuda.Stream) -> None:
        self._stream = stream
        self._pool: Any = torch.cuda.graph_pool_handle()
        # a pool without graphs is given up; this one has nothing to do and keeps it when all others go
        self._anchor = torch.cuda.CUDAGraph()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of a graph that is empty
            with self._recording(self._anchor):
                pass

    def __call__(self, compute: Compute, tensor: Tensor) -> Replay:
        """Record what `compute` does with `tensor`; called with the stream as the current one.

        Raises
        ------
        RuntimeError
            When it cannot be recorded; `torch.OutOfMemoryError` when there is no memory for it.
        """
        # cuBLAS and cuDNN set themselves up at the first call, which must not happen in a recording
        for _ in range(WARM_UP):
            compute(tensor)
        self._stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        with self._recording(graph):
            outputs = compute(tensor)

        def replay() -> tuple[Tensor | None, ...]:
            graph.replay()
            return outputs

        return replay

    def _recording(self, graph: torch.cuda.CUDAGraph) -> torch.cuda.graph:
        # thread_local: what another thread allocates meanwhile is none of this recording's business
        return torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local")
