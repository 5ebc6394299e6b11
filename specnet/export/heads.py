"""Exit heads as ONNX nodes.

Legend: n spectra, P positions, C channels.
"""

from __future__ import annotations

from functools import singledispatch

import numpy as np
from numpy.typing import NDArray
from torch import nn

from specnet.errors import ModelError
from specnet.export.graph import GraphBuilder
from specnet.nn import ExitHead
from specnet.nn.heads import BinnedHead, PooledHead


@singledispatch
def emit_head(head: ExitHead, graph: GraphBuilder, x: str) -> None:
    """Write an exit head on features ``(n, P, C)``, ending in the output ``logits``; one implementation a class."""
    raise ModelError(f"exit head {type(head).__name__} has no ONNX form")


@emit_head.register
def _(head: BinnedHead, graph: GraphBuilder, x: str) -> None:
    channels, reduced, bins = head.reduce.in_channels, head.reduce.out_channels, head.bins
    if head.window > 1:
        # an image of one channel, as high as the spectrum: pooled without a transposition
        image = graph.node("Unsqueeze", x, graph.integers([1]))
        window = [head.window, 1]
        x = graph.node("MaxPool", image, kernel_shape=window, strides=window, ceil_mode=1)
    assert head.reduce.bias is not None
    weight, bias = head.reduce.weight.detach().numpy()[:, :, 0, 0].T, head.reduce.bias.detach().numpy()
    rows = graph.node("Gemm", graph.reshape(x, [-1, channels]), graph.constant(weight), graph.constant(bias))
    flat = graph.reshape(graph.node("Relu", rows), [-1, bins * reduced])
    # torch flattens channels before bins
    weight = head.classify.weight.detach().numpy().reshape(-1, reduced, bins).transpose(2, 1, 0)
    _classify(graph, flat, weight.reshape(bins * reduced, -1), head.classify)


@emit_head.register
def _(head: PooledHead, graph: GraphBuilder, x: str) -> None:
    highest = graph.node("ReduceMax", x, axes=[1], keepdims=0)
    mean = graph.node("ReduceMean", x, axes=[1], keepdims=0)
    _classify(
        graph, graph.node("Concat", highest, mean, axis=1), head.classify.weight.detach().numpy().T, head.classify
    )


def _classify(graph: GraphBuilder, flat: str, weight: NDArray[np.float32], layer: nn.Linear) -> None:
    graph.node("Gemm", flat, graph.constant(weight), graph.constant(layer.bias.detach().numpy()), output="logits")
