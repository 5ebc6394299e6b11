"""Skipping is real: only the rows of active positions enter the matrix products, and that is what is counted."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from support_networks import halting, random_model, random_spectra, vary_depths

from specnet.export import Segment, export_segments
from specnet.nn import SpecNet

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def network() -> SpecNet:
    return vary_depths(random_model("small", 400, seed=2))


def _run_with_products(segment: Segment, features: np.ndarray) -> tuple[dict[str, np.ndarray], list[int]]:
    """Outputs, and the MACs of every matrix product and depthwise sum of the units, from what really ran.

    Inputs of the operators inside the units are made outputs of the graph; their shapes tell what was computed.
    """
    model = onnx.load_from_string(segment.data)
    weights = {constant.name: list(constant.dims) for constant in model.graph.initializer}
    products = [node for node in model.graph.node if node.op_type == "MatMul"]
    windows = [node for node in model.graph.node if node.op_type == "Mul" and len(weights.get(node.input[1], [])) == 2]
    looked_at = [node.input[0] for node in (*products, *windows)]
    known = {output.name for output in model.graph.output} | {"features"}
    for name in dict.fromkeys(looked_at):
        if name not in known:
            model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    options = ort.SessionOptions()
    # optimisation would fuse nodes and rename the values that are looked at
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    values = dict(zip(names, session.run(names, {"features": features}), strict=True))
    macs = []
    for node in products:
        if values[node.input[0]].ndim == 2:  # gathered rows; products over whole stages have three axes
            macs.append(len(values[node.input[0]]) * int(np.prod(weights[node.input[1]])))
    macs += [values[node.input[0]].size for node in windows]
    return values, macs


def _features(network: SpecNet, n: int) -> list[np.ndarray]:
    features = [random_spectra(n, network.config.n_points, seed=3).transpose(1, 2)]
    for index in range(1, network.config.n_stages):
        following = network.run_segment(index, features[-1])[1]
        assert following is not None
        features.append(following.contiguous())
    return [tensor.numpy() for tensor in features]


@pytest.mark.parametrize("index", [1, 2, 3, 4])
def test_rows_in_the_products_are_the_active_positions(network: SpecNet, index: int) -> None:
    segment = export_segments(network)[index]
    features = _features(network, 3)[index - 1]
    model = onnx.load_from_string(segment.data)
    values, _ = _run_with_products(segment, features)
    rows = [len(values[node.input[0]]) for node in model.graph.node if node.op_type == "MatMul"]
    shapes = [values[node.input[0]].ndim for node in model.graph.node if node.op_type == "MatMul"]
    gathered = [count for count, ndim in zip(rows, shapes, strict=True) if ndim == 2]
    depth = values["depth"]
    active = [int((depth > unit).sum()) for unit in range(segment.info.units)]
    # two pointwise layers a unit
    assert gathered == [count for count in active for _ in range(2)]
    assert 0 < active[-1] <= active[0] < depth.size


@pytest.mark.parametrize("index", [1, 2, 3, 4])
def test_macs_from_the_depth_are_macs_that_ran(network: SpecNet, index: int) -> None:
    segment = export_segments(network)[index]
    for n in (1, 4):
        values, macs = _run_with_products(segment, _features(network, n)[index - 1])
        announced = segment.info.executed_macs(values["depth"], n)
        assert announced.shape == (n,)
        assert int((announced - segment.info.fixed_macs).sum()) == sum(macs) > 0


def test_nothing_active_computes_nothing_in_the_units(network: SpecNet) -> None:
    closed = halting(random_model("small", 400, seed=2), (-1e6,) * 4)
    for index, features in enumerate(_features(closed, 2), start=1):
        values, macs = _run_with_products(export_segments(closed)[index], features)
        assert macs
        assert sum(macs) == 0
        assert not values["depth"].any()


def test_costs_in_the_manifest_are_those_of_the_network(network: SpecNet) -> None:
    segments = export_segments(network)
    assert [segment.info.fixed_macs for segment in segments] == network.fixed_macs()
    assert [segment.info.unit_macs for segment in segments[1:]] == network.unit_macs()
    full = sum(
        int(segment.info.executed_macs(np.full((1, positions), segment.info.units), 1)[0])
        for segment, positions in zip(segments[1:], network.config.positions, strict=True)
    )
    assert full + segments[0].info.fixed_macs == network.static_macs()


def test_a_static_network_costs_everything_always() -> None:
    static = random_model("small", 400, adaptive=False)
    assert sum(segment.info.executed_macs(None, 1)[0] for segment in export_segments(static)) == static.static_macs()
    with torch.no_grad():
        depths = static(random_spectra(2, 400)).depths
    assert all((depth == units).all() for depth, units in zip(depths, static.config.units, strict=True))
