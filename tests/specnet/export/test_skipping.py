"""Skipping is real: only what has not halted enters the units, and what is counted is what ran."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from support_networks import halting, random_model, random_spectra, vary_depths

from specnet.export import Segment, export_segments
from specnet.nn import ADAPTIVITIES, BLOCKS, HEADS, SpecNet

pytestmark = pytest.mark.usefixtures("one_thread")
POINTS = 200


class Execution:
    """All values of one run of a segment, and the multiply-accumulates that their shapes tell."""

    def __init__(self, segment: Segment, features: np.ndarray) -> None:
        model = onnx.load_from_string(segment.data)
        self.nodes = list(model.graph.node)
        self.weights = {constant.name: list(constant.dims) for constant in model.graph.initializer}
        known = {output.name for output in model.graph.output}
        for name in (name for node in self.nodes for name in node.output if name not in known):
            model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
        options = ort.SessionOptions()
        # optimisation would fuse nodes and rename the values that are looked at
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        self.values = dict(zip(names, session.run(names, {"features": features}), strict=True))
        self.values["features"] = features

    @property
    def depth(self) -> np.ndarray:
        return self.values["depth"]

    @property
    def gathered(self) -> list[int]:
        """Rows or spectra that each unit was given."""
        taken = [node for node in self.nodes if node.op_type in ("Gather", "GatherND")]
        return [len(self.values[node.output[0]]) for node in taken if self.values[node.output[0]].ndim >= 3]

    @property
    def macs(self) -> int:
        return sum(self._macs(node) for node in self.nodes)

    def _macs(self, node: onnx.NodeProto) -> int:
        size = self.values[node.output[0]].size
        if node.op_type in ("MatMul", "Gemm"):
            scores = node.input[0] in self.weights  # weights (U, C) times rows, transposed
            return size * (self.weights[node.input[0]][1] if scores else self.weights[node.input[1]][0])
        if node.op_type == "Conv":
            return size * int(np.prod(self.weights[node.input[1]][1:]))
        if node.op_type == "Mul" and len(self.weights.get(node.input[1], [])) >= 2:
            return size  # windows times the taps of a depthwise filter; features times scales
        if node.op_type == "ReduceMean":
            return self.values[node.input[0]].size
        return 0


def _network(adaptivity: str, block: str = "depthwise", head: str = "binned") -> SpecNet:
    return vary_depths(random_model("small", POINTS, seed=2, adaptivity=adaptivity, block=block, head=head))


def _features(network: SpecNet, n: int) -> list[np.ndarray]:
    features = [random_spectra(n, network.config.n_points, seed=3).transpose(1, 2)]
    for index in range(1, network.config.n_stages):
        following = network.run_segment(index, features[-1])[1]
        assert following is not None
        features.append(following.contiguous())
    return [tensor.numpy() for tensor in features]


@pytest.mark.parametrize("block", sorted(BLOCKS))
@pytest.mark.parametrize("adaptivity", sorted(ADAPTIVITIES))
def test_a_unit_is_given_what_has_not_halted_and_nothing_else(adaptivity: str, block: str) -> None:
    network = _network(adaptivity, block)
    segments = export_segments(network)
    executed = possible = 0
    for index, features in enumerate(_features(network, 6), start=1):
        ran = Execution(segments[index], features)
        units = range(segments[index].info.units)
        each = ran.depth[:, 0] if adaptivity == "sample" else ran.depth
        active = [int((each > unit).sum()) for unit in units]
        assert ran.gathered == active
        executed, possible = executed + sum(active), possible + each.size * len(units)
    assert 0 < executed < possible


@pytest.mark.parametrize("block", sorted(BLOCKS))
@pytest.mark.parametrize("adaptivity", sorted(ADAPTIVITIES))
def test_announced_macs_are_those_of_the_products_that_ran(adaptivity: str, block: str) -> None:
    network = _network(adaptivity, block)
    segments = export_segments(network)
    for n in (1, 4):
        for index, features in enumerate(_features(network, n), start=1):
            ran = Execution(segments[index], features)
            announced = segments[index].info.executed_macs(ran.depth, n)
            assert announced.shape == (n,)
            assert ran.macs == int(announced.sum())


@pytest.mark.parametrize("head", sorted(HEADS))
def test_announced_macs_of_every_head_are_those_that_ran(head: str) -> None:
    network = _network("gate", head=head)
    segments = export_segments(network)
    for index, features in enumerate(_features(network, 2), start=1):
        ran = Execution(segments[index], features)
        assert ran.macs == int(segments[index].info.executed_macs(ran.depth, 2).sum())


@pytest.mark.parametrize("block", sorted(BLOCKS))
@pytest.mark.parametrize("adaptivity", sorted(ADAPTIVITIES))
def test_nothing_active_computes_nothing_in_the_units(adaptivity: str, block: str) -> None:
    # open gates have positive scores; for ponder mass, a high score lets everything halt at once
    offset = 1e6 if adaptivity == "ponder" else -1e6
    closed = halting(random_model("small", POINTS, seed=2, adaptivity=adaptivity, block=block), (offset,) * 4)
    segments = export_segments(closed)
    for index, features in enumerate(_features(closed, 2), start=1):
        ran = Execution(segments[index], features)
        assert set(ran.gathered) == {0}
        assert ran.macs == 2 * segments[index].info.fixed_macs
        assert not ran.depth.any()


def test_costs_in_the_manifest_are_those_of_the_network() -> None:
    network = _network("gate")
    segments = export_segments(network)
    assert [segment.info.fixed_macs for segment in segments] == network.fixed_macs()
    assert [segment.info.unit_macs for segment in segments[1:]] == network.unit_macs()
    full = sum(
        int(segment.info.executed_macs(np.full((1, positions), segment.info.units), 1)[0])
        for segment, positions in zip(segments[1:], network.config.positions, strict=True)
    )
    assert full + segments[0].info.fixed_macs == network.static_macs()


@pytest.mark.parametrize("block", sorted(BLOCKS))
def test_a_static_network_costs_everything_always(block: str) -> None:
    static = random_model("small", POINTS, adaptivity="none", block=block)
    segments = export_segments(static)
    assert sum(segment.info.executed_macs(None, 1)[0] for segment in segments) == static.static_macs()
    for index, features in enumerate(_features(static, 2), start=1):
        assert Execution(segments[index], features).macs == 2 * segments[index].info.fixed_macs
    with torch.no_grad():
        depths = static(random_spectra(2, POINTS)).depths
    assert all((depth == units).all() for depth, units in zip(depths, static.config.units, strict=True))
