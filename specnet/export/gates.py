"""Halting scores as ONNX nodes: which rows run in which unit.

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
    """Names of a unit's values: `active (n, P)` is true where it runs; `mass (n, P)` scales its branch, if anything."""

    active: str
    mass: str | None = None


@singledispatch
def emit_gates(halting: Halting, graph: GraphBuilder, x: str, positions: int) -> list[Gates]:
    """Write the gates of every unit, from the features ``(n, P, C)`` at the stage's entry."""
    raise ModelError(f"adaptivity {type(halting).__name__} has no ONNX form")


@emit_gates.register
def _(halting: PositionGates, graph: GraphBuilder, x: str, positions: int) -> list[Gates]:
    return _cumulative(graph, _smooth(graph, _scores(graph, halting, x)), halting)


@emit_gates.register
def _(halting: SampleGates, graph: GraphBuilder, x: str, positions: int) -> list[Gates]:
    mean = graph.node("ReduceMean", x, axes=[1], keepdims=1)
    everywhere = graph.node("Expand", _scores(graph, halting, mean), graph.integers([1, 1, positions]))
    return _cumulative(graph, everywhere, halting)


@emit_gates.register
def _(halting: PonderMass, graph: GraphBuilder, x: str, positions: int) -> list[Gates]:
    halted = _smooth(graph, graph.node("Sigmoid", _scores(graph, halting, x)))
    mass = graph.node("Sub", graph.constant(1.0), graph.node("CumSum", halted, graph.integers(1)))
    active = graph.node("Greater", mass, graph.constant(LEAST_MASS))
    units = range(halting.score.out_channels)
    return [Gates(_unit(graph, active, unit), _unit(graph, mass, unit)) for unit in units]


def _scores(graph: GraphBuilder, halting: Halting, x: str) -> str:
    weight, bias = halting.score.weight.detach().numpy()[:, :, 0, 0].T, halting.score.bias
    assert bias is not None
    return graph.transpose(graph.linear(x, weight, bias.detach().numpy()))


def _smooth(graph: GraphBuilder, scores: str) -> str:
    pad = SMOOTH // 2
    return graph.node("AveragePool", scores, kernel_shape=[SMOOTH], strides=[1], pads=[pad, pad], count_include_pad=0)


def _cumulative(graph: GraphBuilder, scores: str, halting: Halting) -> list[Gates]:
    opened = graph.node("Greater", scores, graph.constant(0.0))
    gates: list[Gates] = []
    for unit in range(halting.score.out_channels):
        gate = _unit(graph, opened, unit)
        gates.append(Gates(graph.node("And", gates[-1].active, gate) if gates else gate))
    return gates


def _unit(graph: GraphBuilder, values: str, unit: int) -> str:
    return graph.node("Gather", values, graph.integers(unit), axis=1)


def emit_depth(graph: GraphBuilder, gates: list[Gates]) -> None:
    """Write the output ``depth``: the number of units that run at each position."""
    counts = [graph.node("Cast", gate.active, to=TensorProto.INT32) for gate in gates]
    total = counts[0]
    for count in counts[1:]:
        total = graph.node("Add", total, count)
    graph.node("Cast", total, output="depth", to=TensorProto.UINT8)
