"""A small builder for ONNX graphs: nodes in order, weights as initialisers, one output a call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
IR_VERSION = 8  # readable by ONNX Runtime 1.14 and later


class GraphBuilder:
    """Collects nodes; every method returns the name of the value that it makes."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}
        self._count = 0

    def constant(self, value: ArrayLike, dtype: Any = np.float32) -> str:
        """Weights or shape parameters; equal constants are stored once."""
        array: NDArray[Any] = np.array(value, dtype=dtype, order="C")
        for name, known in self._constants.items():
            other = numpy_helper.to_array(known)
            if other.dtype == array.dtype and other.shape == array.shape and np.array_equal(other, array):
                return name
        name = f"c{len(self._constants)}"
        self._constants[name] = numpy_helper.from_array(array, name)
        return name

    def integers(self, values: int | Sequence[int]) -> str:
        """Int64 constant."""
        return self.constant(values, np.int64)

    def node(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Append a node with one output."""
        self._count += 1
        output = output or f"v{self._count}"
        self._nodes.append(helper.make_node(operator, list(inputs), [output], name=f"n{self._count}", **attributes))
        return output

    def linear(self, x: str, weight: NDArray[Any], bias: NDArray[Any] | None = None) -> str:
        """``x @ weight + bias`` over the last axis; `weight` is ``(in, out)``."""
        product = self.node("MatMul", x, self.constant(weight))
        return product if bias is None else self.node("Add", product, self.constant(bias))

    def image(self, x: str) -> str:
        """Channels-last features ``(n, P, C)`` as an image of height 1, ``(n, C, 1, P)``."""
        return self.node("Unsqueeze", self.node("Transpose", x, perm=[0, 2, 1]), self.integers([2]))

    def channels_last(self, image: str, output: str = "") -> str:
        """Image ``(n, C, 1, P)`` as channels-last features ``(n, P, C)``: what one segment hands to another."""
        return self.node("Transpose", self.node("Squeeze", image, self.integers([2])), perm=[0, 2, 1], output=output)

    def convolution(
        self,
        image: str,
        weight: NDArray[Any],
        bias: NDArray[Any],
        *,
        stride: int = 1,
        pads: tuple[int, int] = (0, 0),
        groups: int = 1,
    ) -> str:
        """Convolution of images ``(n, C, 1, P)`` with filters ``(out, in, taps)`` and as many zeros at either end.

        Images rather than sequences: ONNX Runtime has its blocked kernels for two dimensions only, which take little
        more than half of the time.
        """
        return self.node(
            "Conv",
            image,
            self.constant(weight[:, :, np.newaxis, :]),
            self.constant(bias),
            strides=[1, stride],
            pads=[0, pads[0], 0, pads[1]],
            group=groups,
        )

    def pad_positions(self, x: str, before: int, after: int) -> str:
        """Zeros before and after the positions of ``(n, positions, channels)``."""
        if before == after == 0:
            return x
        return self.node("Pad", x, self.integers([0, before, 0, 0, after, 0]))

    def reshape(self, x: str, shape: Sequence[int], output: str = "") -> str:
        """Reshape; 0 keeps an axis, -1 infers it."""
        return self.node("Reshape", x, self.integers(shape), output=output)

    def build(
        self,
        input_shape: Sequence[int],
        outputs: dict[str, tuple[int, Sequence[int]]],
        *,
        more_inputs: dict[str, Sequence[int]] | None = None,
    ) -> bytes:
        """Serialise and check the graph.

        Parameters
        ----------
        input_shape
            Shape of the input ``features`` without the batch axis: ``(positions, channels)`` for segments.
        outputs
            Element type and shape without the batch axis for each output name.
        more_inputs
            Shapes without the batch axis of inputs besides ``features``.
        """
        shapes = {"features": input_shape, **(more_inputs or {})}
        inputs = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", *shape]) for name, shape in shapes.items()
        ]
        results = [helper.make_tensor_value_info(name, kind, ["n", *shape]) for name, (kind, shape) in outputs.items()]
        # what nothing asks for is left out: the last exit has nobody to hand anything on to
        nodes, wanted = list[onnx.NodeProto](), set(outputs)
        for node in reversed(self._nodes):
            if wanted.intersection(node.output):
                nodes.insert(0, node)
                wanted.update(node.input)
        constants = [tensor for name, tensor in self._constants.items() if name in wanted]
        graph = helper.make_graph(nodes, self._name, inputs, results, constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="specnet")
        model.ir_version = IR_VERSION
        onnx.checker.check_model(model, full_check=True)
        data: bytes = model.SerializeToString(deterministic=True)
        return data
