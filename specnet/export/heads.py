"""Exit heads as ONNX nodes.

Legend: n spectra, P positions, C channels.
"""

from __future__ import annotations

from functools import singledispatch

from torch import nn

from specnet.errors import ModelError
from specnet.export.graph import GraphBuilder
from specnet.nn import ExitHead
from specnet.nn.heads import BinnedHead, PooledHead


@singledispatch
def emit_head(head: ExitHead, graph: GraphBuilder, image: str) -> None:
    """Write an exit head on features ``(n, C, 1, P)``, ending in the output ``logits``; one implementation a class."""
    raise ModelError(f"exit head {type(head).__name__} has no ONNX form")


@emit_head.register
def _(head: BinnedHead, graph: GraphBuilder, image: str) -> None:
    if head.window > 1:
        window = [1, head.window]
        image = graph.node("MaxPool", image, kernel_shape=window, strides=window, ceil_mode=1)
    assert head.reduce.bias is not None
    weight, bias = head.reduce.weight.detach().numpy()[:, :, 0], head.reduce.bias.detach().numpy()
    reduced = graph.node("Relu", graph.convolution(image, weight, bias))
    _classify(graph, graph.node("Flatten", reduced), head.classify)


@emit_head.register
def _(head: PooledHead, graph: GraphBuilder, image: str) -> None:
    highest = graph.node("ReduceMax", image, axes=[2, 3], keepdims=0)
    mean = graph.node("ReduceMean", image, axes=[2, 3], keepdims=0)
    _classify(graph, graph.node("Concat", highest, mean, axis=1), head.classify)


def _classify(graph: GraphBuilder, flat: str, layer: nn.Linear) -> None:
    weight, bias = (graph.constant(value.detach().numpy()) for value in (layer.weight.T, layer.bias))
    graph.node("Gemm", flat, weight, bias, output="logits")
