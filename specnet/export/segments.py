"""A trained network as segments: one ONNX graph from exit to exit, with halted positions skipped or masked.

Legend: n spectra, L points, P positions, C channels, U units, m active rows, k taps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from onnx import TensorProto

from specnet.errors import ModelError
from specnet.export.folding import fold
from specnet.export.graph import GraphBuilder
from specnet.export.heads import emit_head
from specnet.export.relays import emit_load, emit_unload
from specnet.export.stages import emit_units
from specnet.export.units import MASK, SKIP, UnitForm
from specnet.manifest import SegmentInfo
from specnet.nn import LinearExit, SpecNet
from specnet.nn.stage import Stage


@dataclass(frozen=True)
class Segment:
    """ONNX bytes of a segment and what the manifest says of it."""

    info: SegmentInfo
    data: bytes


def export_segments(network: SpecNet, forms: Sequence[UnitForm] = ()) -> list[Segment]:
    """Export segments 0..K of a network in evaluation mode.

    Parameters
    ----------
    network
        A trained network.
    forms
        What becomes of halted positions in each of the K stages: ``"skip"`` or ``"mask"``. Skipped in all by default;
        where a spectrum's positions halt together they are skipped in any case.

    Raises
    ------
    ModelError
        When a part of the network has no ONNX form, or there are other than K forms.
    """
    network.eval()
    forms = tuple(forms) or (SKIP,) * (network.n_exits - 1)
    if len(forms) != network.n_exits - 1:
        raise ModelError(f"got {len(forms)} forms, expected one for each of {network.n_exits - 1} stages")
    return [_linear_segment(network), *(_stage_segment(network, k, form) for k, form in enumerate(forms, start=1))]


def _linear_segment(network: SpecNet) -> Segment:
    exit0, config = network.exit0, network.config
    graph = GraphBuilder("segment-0")
    spectrum = graph.reshape("features", [0, 1, config.n_points])
    _linear_exit(graph, exit0, spectrum)
    shape = (config.n_points, 1)
    data = graph.build(shape, {"logits": (TensorProto.FLOAT, [config.n_classes])})
    info = SegmentInfo(file="segments/0.onnx", input_shape=shape, feature_shape=None, fixed_macs=exit0.macs)
    return Segment(info, data)


def _linear_exit(graph: GraphBuilder, exit0: LinearExit, spectrum: str) -> None:
    pooled = graph.node("AveragePool", spectrum, kernel_shape=[exit0.bin], strides=[exit0.bin])
    weight, bias = graph.constant(exit0.weight.numpy().T), graph.constant(exit0.bias.numpy())
    graph.node("Gemm", graph.node("Flatten", pooled), weight, bias, output="logits")


def _stage_segment(network: SpecNet, index: int, form: UnitForm) -> Segment:
    config, stage, head = network.config, network.any_stage(index), network.head(index)
    positions, width, last = config.positions[index - 1], config.widths[index - 1], index == config.n_stages
    graph, received, handed_size = GraphBuilder(f"segment-{index}"), "", network.handed_size
    if index == 1:
        input_shape, entry_positions = (config.n_points, 1), config.stem_positions
        image = _stem(graph, network)
    else:
        input_shape, entry_positions = network.handed_shape(index - 1), config.positions[index - 2]
        features = "features"
        if handed_size:
            features, received = emit_unload(graph, handed_size, entry_positions, input_shape[1])
        image = graph.image(features)
    entry = _merge(graph, stage, image, entry_positions)
    outputs: dict[str, tuple[int, Sequence[int]]] = {"logits": (TensorProto.FLOAT, [config.n_classes])}
    if not last:
        outputs["next"] = (TensorProto.FLOAT, list(network.handed_shape(index)))
    if stage.halting is not None:
        outputs["depth"] = (TensorProto.UINT8, [positions])
    image = emit_units(stage, graph, entry, positions, form)
    handed = emit_head(head, graph, image, received)
    if not last and handed_size:
        emit_load(graph, graph.channels_last(image), handed, handed_size, width)
    elif not last:
        graph.channels_last(image, output="next")
    units = config.units[index - 1]
    fixed, unit_macs = network.fixed_macs()[index], network.unit_macs()[index - 1]
    if stage.halting is None or (form == MASK and not stage.halting.whole_spectra):  # every position runs every unit
        fixed, unit_macs = fixed + unit_macs * units * positions, 0
    info = SegmentInfo(
        file=f"segments/{index}.onnx",
        input_shape=input_shape,
        feature_shape=None if last else network.handed_shape(index),
        fixed_macs=fixed,
        units=units if stage.halting is not None else 0,
        unit_macs=unit_macs,
    )
    return Segment(info, graph.build(input_shape, outputs))


def _stem(graph: GraphBuilder, network: SpecNet) -> str:
    config = network.config
    weight, bias = fold(network.stem, network.stem_norm)
    pad = config.stem_kernel // 2
    spectrum = graph.reshape("features", [0, 1, 1, config.n_points])
    return graph.node("Relu", graph.convolution(spectrum, weight, bias, stride=config.stem_stride, pads=(pad, pad)))


def _merge(graph: GraphBuilder, stage: Stage, image: str, positions: int) -> str:
    """Join pairs of positions; an odd one out is paired with zeros."""
    weight, bias = fold(stage.merge, stage.merge_norm)
    return graph.node("Relu", graph.convolution(image, weight, bias, stride=2, pads=(0, positions % 2)))
