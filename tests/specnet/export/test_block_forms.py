"""Every registered unit says the same in torch, as a dense ONNX form, and at gathered rows."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto
from support_networks import randomise

from specnet.export.blocks import dense_branch, row_branch
from specnet.export.graph import GraphBuilder
from specnet.export.session import open_session
from specnet.nn import BLOCKS, Block, create_block

pytestmark = pytest.mark.usefixtures("one_thread")
P, TOLERANCE = 23, 1e-5
SHAPES = [(1, 1, 3), (5, 2, 7), (12, 3, 5), (16, 2, 7)]
Float32 = np.ndarray


def _block(name: str, shape: tuple[int, int, int]) -> Block:
    torch.manual_seed(0)
    block = create_block(name, *shape)
    randomise(block)
    return block


def _dense_graph(block: Block) -> bytes:
    graph = GraphBuilder("dense")
    graph.channels_last(dense_branch(graph, block, graph.image("features")), output="branch")
    return graph.build((P, block.channels), {"branch": (TensorProto.FLOAT, [P, block.channels])})


def _row_graph(block: Block) -> bytes:
    graph = GraphBuilder("rows")
    graph.node("Identity", row_branch(graph, block, "features"), output="branch")
    return graph.build((block.kernel, block.channels), {"branch": (TensorProto.FLOAT, [block.channels])})


def _windows(features: Float32, mask: Float32, kernel: int) -> Float32:
    pad = kernel // 2
    padded = np.pad(features, ((0, 0), (pad, pad), (0, 0)))
    return np.stack([padded[i, p : p + kernel] for i, p in zip(*np.nonzero(mask), strict=True)])


def _masks() -> dict[str, Float32]:
    rng = np.random.default_rng(3)
    masks = {"all": np.ones((2, P), bool), "one": np.zeros((2, P), bool), "run": np.zeros((2, P), bool)}
    masks["one"][1, 0] = True
    masks["run"][0, 5:14] = True
    return {**masks, "half": rng.random((2, P)) < 0.5, "few": rng.random((2, P)) < 0.2}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", sorted(BLOCKS))
def test_dense_and_row_forms_are_the_torch_branch(name: str, shape: tuple[int, int, int]) -> None:
    block = _block(name, shape)
    features = np.random.default_rng(0).standard_normal((2, P, shape[0])).astype(np.float32)
    with torch.no_grad():
        image = torch.from_numpy(features).transpose(1, 2).unsqueeze(2)
        expected = block(image).squeeze(2).transpose(1, 2).numpy()
    tolerance = TOLERANCE * max(1.0, float(np.abs(expected).max()))
    (dense,) = open_session(_dense_graph(block)).run(None, {"features": features})
    np.testing.assert_allclose(dense, expected, atol=tolerance)
    session = open_session(_row_graph(block))
    for mask in _masks().values():
        (rows,) = session.run(None, {"features": _windows(features, mask, block.kernel)})
        np.testing.assert_allclose(rows, expected[mask], atol=tolerance)


@pytest.mark.parametrize("name", sorted(BLOCKS))
def test_no_active_row_computes_nothing(name: str) -> None:
    block = _block(name, (6, 2, 5))
    (rows,) = open_session(_row_graph(block)).run(None, {"features": np.empty((0, 5, 6), np.float32)})
    assert rows.shape == (0, 6)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", sorted(BLOCKS))
def test_the_row_form_multiplies_what_the_block_announces(name: str, shape: tuple[int, int, int]) -> None:
    block = _block(name, shape)
    model = onnx.load_from_string(_row_graph(block))
    weights = {constant.name: int(np.prod(constant.dims)) for constant in model.graph.initializer}
    multiplying = [node for node in model.graph.node if node.op_type in {"MatMul", "Mul", "Gemm", "Conv"}]
    assert sum(weights[node.input[1]] for node in multiplying) == block.macs
