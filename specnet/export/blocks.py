"""Blocks as ONNX nodes, in two forms: at every position, or at gathered rows only.

Rows are what makes skipping real: the nodes of a unit see only the positions that have not halted, so halted ones cost
nothing.

Legend: n spectra, P positions, C channels, k taps, m active rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from specnet.errors import ModelError
from specnet.export.folding import fold
from specnet.export.graph import GraphBuilder
from specnet.nn.blocks import Block, Depthwise

B = TypeVar("B", bound=Block)
DenseEmitter = Callable[[GraphBuilder, Block, str], str]
RowEmitter = Callable[[GraphBuilder, Block, str], str]

_EMITTERS: dict[type[Block], tuple[DenseEmitter, RowEmitter]] = {}


def dense_branch(graph: GraphBuilder, block: Block, x: str) -> str:
    """Branch ``(n, P, C)`` of features ``(n, P, C)`` at every position."""
    return _emitters(block)[0](graph, block, x)


def row_branch(graph: GraphBuilder, block: Block, windows: str) -> str:
    """Branch ``(m, C)`` of windows ``(m, k, C)`` of the active rows."""
    return _emitters(block)[1](graph, block, windows)


def _emitters(block: Block) -> tuple[DenseEmitter, RowEmitter]:
    if type(block) not in _EMITTERS:
        raise ModelError(f"block {type(block).__name__} has no ONNX form; known: {[t.__name__ for t in _EMITTERS]}")
    return _EMITTERS[type(block)]


def _depthwise_dense(graph: GraphBuilder, block: Block, x: str) -> str:
    assert isinstance(block, Depthwise)
    weight, bias = fold(block.depthwise, block.norm1)
    pad = block.kernel // 2
    filtered = graph.node(
        "Conv", graph.transpose(x), graph.constant(weight), graph.constant(bias), group=block.channels, pads=[pad, pad]
    )
    return _pointwise(graph, block, graph.transpose(filtered))


def _depthwise_rows(graph: GraphBuilder, block: Block, windows: str) -> str:
    assert isinstance(block, Depthwise)
    weight, bias = fold(block.depthwise, block.norm1)
    weighted = graph.node("Mul", windows, graph.constant(weight[:, 0, :].T))
    summed = graph.node("ReduceSum", weighted, graph.integers([1]), keepdims=0)
    return _pointwise(graph, block, graph.node("Add", summed, graph.constant(bias)))


def _pointwise(graph: GraphBuilder, block: Depthwise, x: str) -> str:
    expand, expand_bias = fold(block.expand, block.norm2)
    project, project_bias = fold(block.project, block.norm3)
    hidden = graph.node("Relu", graph.linear(x, expand[:, :, 0].T, expand_bias))
    return graph.linear(hidden, project[:, :, 0].T, project_bias)


_EMITTERS[Depthwise] = (_depthwise_dense, _depthwise_rows)
