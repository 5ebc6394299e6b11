"""The residual units of a stage: everywhere, or on what has not halted: gathered, run alone, and added back.

Legend: n spectra, P positions, C channels, k taps, m active rows or spectra.
"""

from __future__ import annotations

from onnx import TensorProto

from specnet.export.blocks import dense_branch, row_branch
from specnet.export.gates import Gates, emit_gates
from specnet.export.graph import GraphBuilder
from specnet.nn.blocks import Block
from specnet.nn.stage import PositionAdaptiveStage


def emit_all_units(graph: GraphBuilder, stage: PositionAdaptiveStage, rows: str, positions: int, out: str) -> str:
    """Write the units of a stage without halting; parameters and result as in `emit_adaptive_units`."""
    units = [*_open_units(stage), *(stage.unit(index) for index in range(len(stage.units)))]
    x = graph.reshape(rows, [-1, positions, stage.merge.out_channels], output="" if units else out)
    for index, unit in enumerate(units):
        x = graph.node("Add", x, dense_branch(graph, unit, x), output=out if index == len(units) - 1 else "")
    return x


def emit_adaptive_units(graph: GraphBuilder, stage: PositionAdaptiveStage, rows: str, positions: int, out: str) -> str:
    """Write the units of a stage with halting, and its output ``depth``.

    Parameters
    ----------
    rows
        Features ``(n P, C)`` at the entry of the units.
    out
        Name for the result, empty for any.

    Returns
    -------
    str
        Features ``(n, P, C)``.
    """
    assert stage.halting is not None
    gates = emit_gates(stage.halting, graph, rows, positions)
    features = graph.reshape(rows, [-1, positions, stage.merge.out_channels])
    for unit in _open_units(stage):
        features = graph.node("Add", features, dense_branch(graph, unit, features))
    if gates.whole_spectra:
        return _spectra(graph, stage, features, gates, positions, out)
    return _positions(graph, stage, features, gates, positions, out)


def _spectra(graph: GraphBuilder, stage: PositionAdaptiveStage, x: str, gates: Gates, positions: int, out: str) -> str:
    """Units on whole spectra, in their dense form: the batch holds only those spectra that run."""
    everywhere = graph.node("Expand", graph.reshape(gates.depth, [-1, 1]), graph.integers([1, positions]))
    graph.node("Cast", everywhere, output="depth", to=TensorProto.UINT8)
    for index in range(len(stage.units)):
        active = _active(graph, gates.depth, index)  # (m, 1)
        chosen = graph.node("GatherND", x, active)
        branch = dense_branch(graph, stage.unit(index), chosen)
        x = graph.node("ScatterND", x, active, branch, reduction="add", output=_last(stage, index, out))
    return x


def _positions(
    graph: GraphBuilder, stage: PositionAdaptiveStage, x: str, gates: Gates, positions: int, out: str
) -> str:
    """Units on rows with their windows.

    Zeros around each spectrum, which never run, make a window the same k consecutive rows everywhere; they are put
    there once and stay through all units.
    """
    kernel, channels = stage.unit(0).kernel, stage.merge.out_channels
    pad, offsets = kernel // 2, graph.integers([tap - kernel // 2 for tap in range(kernel)])
    graph.node("Cast", gates.depth, output="depth", to=TensorProto.UINT8)
    depth = graph.reshape(graph.node("Pad", gates.depth, graph.integers([0, pad, 0, pad])), [-1])
    masses = None
    if gates.mass is not None:
        padded = graph.node("Pad", gates.mass, graph.integers([0, 0, pad, 0, 0, pad]))
        masses = graph.reshape(padded, [len(stage.units), -1])
    state = graph.reshape(graph.pad_positions(x, pad, pad), [-1, channels])
    for index in range(len(stage.units)):
        active = _active(graph, depth, index)  # (m, 1)
        windows = graph.node("Gather", state, graph.node("Add", active, offsets), axis=0)
        branch = row_branch(graph, stage.unit(index), windows)
        if masses is not None:
            mass = graph.node("Gather", masses, graph.integers(index), axis=0)
            branch = graph.node("Mul", branch, graph.node("Gather", mass, active, axis=0))
        state = graph.node("ScatterND", state, active, branch, reduction="add")
    padded = graph.reshape(state, [-1, positions + 2 * pad, channels])
    bounds = [graph.integers([bound]) for bound in (pad, pad + positions, 1)]
    return graph.node("Slice", padded, *bounds, output=out)


def _open_units(stage: PositionAdaptiveStage) -> list[Block]:
    return [stage.open_unit(index) for index in range(len(stage.open_units))]


def _active(graph: GraphBuilder, depth: str, index: int) -> str:
    """Write the indices ``(m, 1)`` of what runs unit `index`, from depths in one dimension."""
    return graph.reshape(graph.node("NonZero", graph.node("Greater", depth, graph.integers(index))), [-1, 1])


def _last(stage: PositionAdaptiveStage, index: int, out: str) -> str:
    return out if index == len(stage.units) - 1 else ""
