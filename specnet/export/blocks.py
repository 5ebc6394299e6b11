"""Blocks as ONNX nodes, in two forms: at every position, or at gathered rows only.

Rows are what makes skipping real: the nodes of a unit see only the positions that have not halted, so halted ones cost
nothing.

Legend: n spectra, P positions, C channels, k taps, m active rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from torch import nn

from specnet.errors import ModelError
from specnet.export.folding import fold, fold_norm
from specnet.export.graph import GraphBuilder
from specnet.nn.blocks import Block, Depthwise, Ghost, Plain

B = TypeVar("B", bound=Block)
Emitter = Callable[[GraphBuilder, Any, str], str]

_DENSE: dict[type[Block], Emitter] = {}
_ROWS: dict[type[Block], Emitter] = {}


def dense_branch(graph: GraphBuilder, block: Block, x: str) -> str:
    """Branch ``(n, P, C)`` of features ``(n, P, C)`` at every position."""
    return _emitter(_DENSE, block)(graph, block, x)


def row_branch(graph: GraphBuilder, block: Block, windows: str) -> str:
    """Branch ``(m, C)`` of windows ``(m, k, C)`` of the active rows."""
    return _emitter(_ROWS, block)(graph, block, windows)


def _emitter(emitters: dict[type[Block], Emitter], block: Block) -> Emitter:
    if type(block) not in emitters:
        raise ModelError(f"block {type(block).__name__} has no ONNX form; known: {[t.__name__ for t in emitters]}")
    return emitters[type(block)]


def _pointwise(graph: GraphBuilder, x: str, layer: nn.Conv2d, norm: nn.BatchNorm2d) -> str:
    """One-tap convolution with its batch norm, over the last axis."""
    weight, bias = fold(layer, norm)
    return graph.linear(x, weight[:, :, 0].T, bias)


def _convolution(graph: GraphBuilder, x: str, layer: nn.Conv2d, norm: nn.BatchNorm2d) -> str:
    """Convolution with its batch norm on ``(n, P, C)``, positions kept; ``(n, C', P)`` comes out."""
    weight, bias = fold(layer, norm)
    pad = weight.shape[2] // 2
    filters, offsets = graph.constant(weight), graph.constant(bias)
    return graph.node("Conv", graph.transpose(x), filters, offsets, group=layer.groups, pads=[pad, pad])


def _window_sums(graph: GraphBuilder, windows: str, layer: nn.Conv2d, norm: nn.BatchNorm2d) -> str:
    """Depthwise convolution with its batch norm on windows ``(m, k, C)``: ``(m, C)``."""
    weight, bias = fold(layer, norm)
    weighted = graph.node("Mul", windows, graph.constant(weight[:, 0, :].T))
    summed = graph.node("ReduceSum", weighted, graph.integers([1]), keepdims=0)
    return graph.node("Add", summed, graph.constant(bias))


def _depthwise_dense(graph: GraphBuilder, block: Depthwise, x: str) -> str:
    return _depthwise_tail(graph, block, graph.transpose(_convolution(graph, x, block.depthwise, block.norm1)))


def _depthwise_rows(graph: GraphBuilder, block: Depthwise, windows: str) -> str:
    return _depthwise_tail(graph, block, _window_sums(graph, windows, block.depthwise, block.norm1))


def _depthwise_tail(graph: GraphBuilder, block: Depthwise, x: str) -> str:
    hidden = graph.node("Relu", _pointwise(graph, x, block.expand, block.norm2))
    return _pointwise(graph, hidden, block.project, block.norm3)


def _plain_dense(graph: GraphBuilder, block: Plain, x: str) -> str:
    hidden = graph.node("Relu", _convolution(graph, x, block.filter, block.norm1))
    return _pointwise(graph, graph.transpose(hidden), block.project, block.norm2)


def _plain_rows(graph: GraphBuilder, block: Plain, windows: str) -> str:
    weight, bias = fold(block.filter, block.norm1)
    taps = block.kernel * block.channels  # a window is one row: the convolution is one matrix product
    flat = graph.reshape(windows, [0, taps])
    hidden = graph.node("Relu", graph.linear(flat, weight.transpose(2, 1, 0).reshape(taps, block.channels), bias))
    return _pointwise(graph, hidden, block.project, block.norm2)


def _ghost_dense(graph: GraphBuilder, block: Ghost, x: str) -> str:
    ghosts = graph.transpose(_convolution(graph, x, block.depthwise, block.norm2))
    return _ghost_tail(graph, block, x, ghosts)


def _ghost_rows(graph: GraphBuilder, block: Ghost, windows: str) -> str:
    centre = graph.node("Gather", windows, graph.integers(block.kernel // 2), axis=1)
    return _ghost_tail(graph, block, centre, _window_sums(graph, windows, block.depthwise, block.norm2))


def _ghost_tail(graph: GraphBuilder, block: Ghost, x: str, ghosts: str) -> str:
    primary = graph.node("Relu", _pointwise(graph, x, block.expand, block.norm1))
    ghosts = graph.node("Relu", ghosts)
    branch = _pointwise(graph, graph.node("Concat", primary, ghosts, axis=-1), block.project, block.norm3)
    if block.norm4 is None:
        return branch
    scale, offset = fold_norm(block.norm4)
    cheap = graph.node("Slice", ghosts, *(graph.integers([bound]) for bound in (0, block.copied, -1)))
    scaled = graph.node("Mul", cheap, graph.constant(scale[None]))
    return graph.node("Concat", branch, graph.node("Add", scaled, graph.constant(offset)), axis=-1)


_DENSE.update({Depthwise: _depthwise_dense, Plain: _plain_dense, Ghost: _ghost_dense})
_ROWS.update({Depthwise: _depthwise_rows, Plain: _plain_rows, Ghost: _ghost_rows})
