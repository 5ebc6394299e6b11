"""Halting scores as ONNX nodes: how many units run where.

Legend: n spectra, P positions, C channels, U units.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import singledispatch

from onnx import TensorProto

from specnet.errors import ModelError
from specnet.export.graph import GraphBuilder
from specnet.nn.halting import LEAST_MASS, SMOOTH, Halting, PonderMass, PositionGates, SampleGates


@dataclass(frozen=True)
class Gates:
    """Names of the values that gates leave.

    Parameters
    ----------
    depth
        Number of units that run, int64: ``(n, P)``, or ``(n,)`` where all positions of a spectrum run together.
    whole_spectra
        Which of the two it is.
    mass
        What the branches of units are multiplied by, ``(U, n, P)``; None where they count in full.
    """

    depth: str
    whole_spectra: bool = False
    mass: str | None = None


@singledispatch
def emit_gates(halting: Halting, graph: GraphBuilder, rows: str, positions: int) -> Gates:
    """Write the gates of a stage, from the rows ``(n P, C)`` at its entry; one implementation a class."""
    raise ModelError(f"adaptivity {type(halting).__name__} has no ONNX form")


@emit_gates.register
def _(halting: PositionGates, graph: GraphBuilder, rows: str, positions: int) -> Gates:
    scores = _smooth(graph, _scores(graph, halting, rows, positions))
    return Gates(_first_closed(graph, graph.node("Greater", scores, graph.constant(0.0)), 3))


@emit_gates.register
def _(halting: SampleGates, graph: GraphBuilder, rows: str, positions: int) -> Gates:
    spectra = graph.reshape(rows, [-1, positions, halting.score.in_channels])
    scores = _products(graph, halting, graph.node("ReduceMean", spectra, axes=[1], keepdims=0))
    return Gates(_first_closed(graph, graph.node("Greater", scores, graph.constant(0.0)), 2), whole_spectra=True)


@emit_gates.register
def _(halting: PonderMass, graph: GraphBuilder, rows: str, positions: int) -> Gates:
    halted = _smooth(graph, graph.node("Sigmoid", _scores(graph, halting, rows, positions)))
    mass = graph.node("Sub", graph.constant(1.0), graph.node("CumSum", halted, graph.integers(0)))
    return Gates(_first_closed(graph, graph.node("Greater", mass, graph.constant(LEAST_MASS)), 3), mass=mass)


def _products(graph: GraphBuilder, halting: Halting, rows: str) -> str:
    """Scores ``(U, m)`` of rows ``(m, C)``: units first, so that neighbours lie side by side, to be averaged."""
    weight, bias = halting.score.weight.detach().numpy()[:, :, 0, 0], halting.score.bias
    assert bias is not None
    column = graph.constant(bias.detach().numpy()[:, None])
    return graph.node("Gemm", graph.constant(weight), rows, column, transB=1)


def _scores(graph: GraphBuilder, halting: Halting, rows: str, positions: int) -> str:
    return graph.reshape(_products(graph, halting, rows), [halting.score.out_channels, -1, positions])


def _smooth(graph: GraphBuilder, scores: str) -> str:
    pad = SMOOTH // 2
    return graph.node("AveragePool", scores, kernel_shape=[SMOOTH], strides=[1], pads=[pad, pad], count_include_pad=0)


def _first_closed(graph: GraphBuilder, opened: str, rank: int) -> str:
    """Index of the first closed gate along the first axis; one more closed gate is put behind the last unit."""
    gates = graph.node("Cast", opened, to=TensorProto.FLOAT)
    ended = graph.node("Pad", gates, graph.integers([0] * rank + [1] + [0] * (rank - 1)))
    return graph.node("ArgMin", ended, axis=0, keepdims=0)
