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
def emit_head(head: ExitHead, graph: GraphBuilder, x: str) -> None:
    """Write an exit head on features ``(n, P, C)``, ending in the output ``logits``; one implementation a class."""
    raise ModelError(f"exit head {type(head).__name__} has no ONNX form")


@emit_head.register
def _(head: BinnedHead, graph: GraphBuilder, x: str) -> None:
    pooled = graph.transpose(x)
    if head.window > 1:
        pooled = graph.node("MaxPool", pooled, kernel_shape=[head.window], strides=[head.window], ceil_mode=1)
    weight = graph.constant(head.reduce.weight.detach().numpy()[:, :, 0])
    assert head.reduce.bias is not None
    reduced = graph.node("Conv", pooled, weight, graph.constant(head.reduce.bias.detach().numpy()))
    _classify(graph, graph.node("Flatten", graph.node("Relu", reduced)), head.classify)


@emit_head.register
def _(head: PooledHead, graph: GraphBuilder, x: str) -> None:
    highest = graph.node("ReduceMax", x, axes=[1], keepdims=0)
    mean = graph.node("ReduceMean", x, axes=[1], keepdims=0)
    _classify(graph, graph.node("Concat", highest, mean, axis=1), head.classify)


def _classify(graph: GraphBuilder, flat: str, layer: nn.Linear) -> None:
    weight, bias = graph.constant(layer.weight.detach().numpy().T), graph.constant(layer.bias.detach().numpy())
    graph.node("Gemm", flat, weight, bias, output="logits")
