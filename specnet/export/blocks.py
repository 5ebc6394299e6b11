"""Blocks as ONNX nodes, in two forms: at every position, or at gathered rows only.

Rows are what makes skipping real: the nodes of a unit see only the positions that have not halted, so halted ones cost
nothing.

Dense features are images ``(n, C, 1, P)``. Legend: n spectra, P positions, C channels, k taps, m active rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from torch import nn

from specnet.errors import ModelError
from specnet.export.folding import Array, fold, fold_norm
from specnet.export.graph import GraphBuilder
from specnet.nn.blocks import Block, Depthwise, Ghost, Plain

B = TypeVar("B", bound=Block)
Emitter = Callable[[GraphBuilder, Any, str], str]

_DENSE: dict[type[Block], Emitter] = {}
_ROWS: dict[type[Block], Emitter] = {}


def dense_branch(graph: GraphBuilder, block: Block, image: str) -> str:
    """Branch ``(n, C, 1, P)`` of features ``(n, C, 1, P)`` at every position."""
    return _emitter(_DENSE, block)(graph, block, image)


def row_branch(graph: GraphBuilder, block: Block, windows: str) -> str:
    """Branch ``(m, C)`` of windows ``(m, k, C)`` of the active rows."""
    return _emitter(_ROWS, block)(graph, block, windows)


def _emitter(emitters: dict[type[Block], Emitter], block: Block) -> Emitter:
    if type(block) not in emitters:
        raise ModelError(f"block {type(block).__name__} has no ONNX form; known: {[t.__name__ for t in emitters]}")
    return emitters[type(block)]


def _pointwise(graph: GraphBuilder, rows: str, layer: nn.Conv2d, norm: nn.BatchNorm2d) -> str:
    """One-tap convolution with its batch norm on rows ``(m, C)``."""
    weight, bias = fold(layer, norm)
    return graph.linear(rows, weight[:, :, 0].T, bias)


def _convolution(graph: GraphBuilder, image: str, layer: nn.Conv2d, norm: nn.BatchNorm2d) -> str:
    """Convolution with its batch norm, positions kept."""
    weight, bias = fold(layer, norm)
    pad = weight.shape[2] // 2
    return graph.convolution(image, weight, bias, pads=(pad, pad), groups=layer.groups)


def _window_sums(graph: GraphBuilder, windows: str, weight: Array) -> str:
    """Depthwise convolution of windows ``(m, k, C)`` without its offset: ``(m, C)``."""
    weighted = graph.node("Mul", windows, graph.constant(weight[:, 0, :].T))
    return graph.node("ReduceSum", weighted, graph.integers([1]), keepdims=0)


def _depthwise_dense(graph: GraphBuilder, block: Depthwise, image: str) -> str:
    filtered = _convolution(graph, image, block.depthwise, block.norm1)
    hidden = graph.node("Relu", _convolution(graph, filtered, block.expand, block.norm2))
    return _convolution(graph, hidden, block.project, block.norm3)


def _depthwise_rows(graph: GraphBuilder, block: Depthwise, windows: str) -> str:
    filters, offset = fold(block.depthwise, block.norm1)
    expand, bias = fold(block.expand, block.norm2)
    weight = expand[:, :, 0].astype(np.float64)
    absorbed = (bias + weight @ offset).astype(np.float32)  # the offset of the windows' sums, in the next layer's bias
    sums = _window_sums(graph, windows, filters)
    hidden = graph.node("Relu", graph.linear(sums, expand[:, :, 0].T, absorbed))
    return _pointwise(graph, hidden, block.project, block.norm3)


def _plain_dense(graph: GraphBuilder, block: Plain, image: str) -> str:
    hidden = graph.node("Relu", _convolution(graph, image, block.filter, block.norm1))
    return _convolution(graph, hidden, block.project, block.norm2)


def _plain_rows(graph: GraphBuilder, block: Plain, windows: str) -> str:
    weight, bias = fold(block.filter, block.norm1)
    taps = block.kernel * block.channels  # a window is one row: the convolution is one matrix product
    flat = graph.reshape(windows, [0, taps])
    hidden = graph.node("Relu", graph.linear(flat, weight.transpose(2, 1, 0).reshape(taps, block.channels), bias))
    return _pointwise(graph, hidden, block.project, block.norm2)


def _ghost_dense(graph: GraphBuilder, block: Ghost, image: str) -> str:
    primary = _convolution(graph, image, block.expand, block.norm1)
    ghosts = _convolution(graph, image, block.depthwise, block.norm2)
    hidden = graph.node("Relu", graph.node("Concat", primary, ghosts, axis=1))
    branch = _convolution(graph, hidden, block.project, block.norm3)
    return _with_copies(graph, block, branch, hidden, (block.copied, 1, 1))


def _ghost_rows(graph: GraphBuilder, block: Ghost, windows: str) -> str:
    filters, offset = fold(block.depthwise, block.norm2)
    centre = graph.node("Gather", windows, graph.integers(block.kernel // 2), axis=1)
    primary = _pointwise(graph, centre, block.expand, block.norm1)
    ghosts = graph.node("Add", _window_sums(graph, windows, filters), graph.constant(offset))
    hidden = graph.node("Relu", graph.node("Concat", primary, ghosts, axis=1))
    return _with_copies(graph, block, _pointwise(graph, hidden, block.project, block.norm3), hidden, (1, block.copied))


def _with_copies(graph: GraphBuilder, block: Ghost, branch: str, hidden: str, shape: tuple[int, ...]) -> str:
    """Join the second module's primary channels and its cheap ones, scaled copies of ghost features, on axis 1.

    `shape` is that of scale and offset, to go with ``(n, C, 1, P)`` or ``(m, C)``.
    """
    if block.norm4 is None:
        return branch
    first = block.expand.out_channels
    bounds = (graph.integers([bound]) for bound in (first, first + block.copied, 1))
    scale, offset = (graph.constant(value.reshape(shape)) for value in fold_norm(block.norm4))
    scaled = graph.node("Add", graph.node("Mul", graph.node("Slice", hidden, *bounds), scale), offset)
    return graph.node("Concat", branch, scaled, axis=1)


_DENSE.update({Depthwise: _depthwise_dense, Plain: _plain_dense, Ghost: _ghost_dense})
_ROWS.update({Depthwise: _depthwise_rows, Plain: _plain_rows, Ghost: _ghost_rows})
