"""The residual units of a stage: everywhere, or on what has not halted.

Halted positions are either skipped (the others are gathered, run alone, and added back), or masked (units run
everywhere, and what they say of halted positions is multiplied by zero). Both give the same answers. Skipping has the
fewer MACs; on processors with wide vectors it takes more time where a stage has few channels.

Legend: n spectra, P positions, C channels, k taps, m active rows or spectra.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from onnx import TensorProto

from specnet.export.blocks import dense_branch, row_branch
from specnet.export.gates import Gates, emit_gates
from specnet.export.graph import GraphBuilder
from specnet.nn.blocks import Block
from specnet.nn.stage import PositionAdaptiveStage

UnitForm: TypeAlias = Literal["skip", "mask"]
SKIP: UnitForm = "skip"
MASK: UnitForm = "mask"


def emit_all_units(graph: GraphBuilder, stage: PositionAdaptiveStage, image: str) -> str:
    """Write the units of a stage without halting on features ``(n, C, 1, P)``."""
    for unit in [*_open_units(stage), *(stage.unit(index) for index in range(len(stage.units)))]:
        image = graph.node("Add", image, dense_branch(graph, unit, image))
    return image


def emit_adaptive_units(
    graph: GraphBuilder, stage: PositionAdaptiveStage, image: str, positions: int, form: UnitForm = SKIP
) -> str:
    """Write the units of a stage with halting on features ``(n, C, 1, P)``, and its output ``depth``."""
    assert stage.halting is not None
    entry = graph.channels_last(image)
    gates = emit_gates(stage.halting, graph, graph.reshape(entry, [-1, stage.merge.out_channels]), positions)
    opened = _open_units(stage)
    for unit in opened:
        image = graph.node("Add", image, dense_branch(graph, unit, image))
    if gates.whole_spectra:
        return _spectra(graph, stage, image, gates, positions)
    if form == MASK:
        return _masked(graph, stage, image, gates, positions)
    rows = graph.channels_last(image) if opened else entry
    return graph.image(_positions(graph, stage, rows, gates, positions))


def _spectra(graph: GraphBuilder, stage: PositionAdaptiveStage, image: str, gates: Gates, positions: int) -> str:
    """Units on whole spectra, in their dense form: the batch holds only those spectra that run."""
    everywhere = graph.node("Expand", graph.reshape(gates.depth, [-1, 1]), graph.integers([1, positions]))
    graph.node("Cast", everywhere, output="depth", to=TensorProto.UINT8)
    for index in range(len(stage.units)):
        active = _active(graph, gates.depth, index)  # (m, 1)
        branch = dense_branch(graph, stage.unit(index), graph.node("GatherND", image, active))
        image = graph.node("ScatterND", image, active, branch, reduction="add")
    return image


def _masked(graph: GraphBuilder, stage: PositionAdaptiveStage, image: str, gates: Gates, positions: int) -> str:
    """Units everywhere on features ``(n, C, 1, P)``: a halted position keeps what it was, as if nothing had run."""
    graph.node("Cast", gates.depth, output="depth", to=TensorProto.UINT8)
    shape = [-1, 1, 1, positions]
    for index in range(len(stage.units)):
        runs = graph.node("Greater", gates.depth, graph.integers(index))
        weight = graph.reshape(graph.node("Cast", runs, to=TensorProto.FLOAT), shape)
        if gates.mass is not None:
            mass = graph.node("Gather", gates.mass, graph.integers(index), axis=0)
            weight = graph.node("Mul", weight, graph.reshape(mass, shape))
        branch = dense_branch(graph, stage.unit(index), image)
        image = graph.node("Add", image, graph.node("Mul", branch, weight))
    return image


def _positions(graph: GraphBuilder, stage: PositionAdaptiveStage, x: str, gates: Gates, positions: int) -> str:
    """Units on rows with their windows, from features ``(n, P, C)`` to such.

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
    return graph.node("Slice", padded, *bounds)


def _open_units(stage: PositionAdaptiveStage) -> list[Block]:
    return [stage.open_unit(index) for index in range(len(stage.open_units))]


def _active(graph: GraphBuilder, depth: str, index: int) -> str:
    """Write the indices ``(m, 1)`` of what runs unit `index`, from depths in one dimension."""
    return graph.reshape(graph.node("NonZero", graph.node("Greater", depth, graph.integers(index))), [-1, 1])
