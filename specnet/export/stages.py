"""What lies behind a stage's strided unit as ONNX nodes, for stages of every kind.

Legend: n spectra, P positions, C channels.
"""

from __future__ import annotations

from functools import singledispatch

from torch import nn

from specnet.errors import ModelError
from specnet.export.blocks import dense_branch
from specnet.export.folding import fold
from specnet.export.graph import GraphBuilder
from specnet.export.units import UnitForm, emit_adaptive_units, emit_all_units
from specnet.nn.g_ghost import GGhostStage
from specnet.nn.stage import PositionAdaptiveStage, Stage


@singledispatch
def emit_units(stage: Stage, graph: GraphBuilder, image: str, positions: int, form: UnitForm) -> str:
    """Write the units of a stage on what its strided unit gives, ``(n, C, 1, P)``; one implementation a class.

    Where positions may halt there is an output ``depth`` too.
    """
    raise ModelError(f"stage {type(stage).__name__} has no ONNX form")


@emit_units.register
def _(stage: PositionAdaptiveStage, graph: GraphBuilder, image: str, positions: int, form: UnitForm) -> str:
    if stage.halting is None:
        return emit_all_units(graph, stage, image)
    return emit_adaptive_units(graph, stage, image, positions, form)


@emit_units.register
def _(stage: GGhostStage, graph: GraphBuilder, image: str, positions: int, form: UnitForm) -> str:
    if stage.cheap_channels:
        bounds = (graph.integers([bound]) for bound in (0, stage.thin_channels, 1))
        thin = graph.node("Slice", image, *bounds)
        seen = [image]
        for index in range(len(stage.thin_units)):
            thin = graph.node("Add", thin, dense_branch(graph, stage.thin_unit(index), thin))
            seen.append(thin)
        mean = graph.node("ReduceMean", graph.node("Concat", *seen, axis=1), axes=[3], keepdims=1)
        mixed = graph.node("Relu", _pointwise(graph, mean, stage.mix_in, stage.mix_in_norm))
        added = _pointwise(graph, mixed, stage.mix_out, stage.mix_out_norm)
        cheap = graph.node("Add", _pointwise(graph, image, stage.cheap, stage.cheap_norm), added)
        image = graph.node("Concat", thin, graph.node("Relu", cheap), axis=1)
    last = stage.last_unit()
    return image if last is None else graph.node("Add", image, dense_branch(graph, last, image))


def _pointwise(graph: GraphBuilder, image: str, layer: nn.Conv2d, norm: nn.BatchNorm2d) -> str:
    weight, bias = fold(layer, norm)
    return graph.convolution(image, weight, bias)
