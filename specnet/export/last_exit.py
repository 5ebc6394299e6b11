"""The deepest exit alone as one ONNX graph: what a network costs that is deployed without early exits."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import compose

from specnet.export.exit_graphs import exit_graphs
from specnet.nn.protocol import ExitNetwork

Float32 = NDArray[np.float32]


def last_exit_graph(network: ExitNetwork, spectra: Float32 | None = None) -> bytes:
    """Join the graphs of a network that lead to its last exit, without what it needs not: exit 0, shallow heads.

    Input is ``features (n, L, 1)``, the only output ``logits (n, classes)``. The network is set to evaluation mode;
    `spectra` are those of `exit_graphs`.

    Raises
    ------
    ModelError
        When the network, or a part of it, has no ONNX form.
    """
    models = [onnx.load_model_from_string(data) for data in exit_graphs(network, spectra)]
    # behind a graph that hands nothing on (the linear exit, a member of an ensemble) the next begins with the spectrum
    starts = [k for k in range(1, len(models)) if not any(name.startswith("next") for name in _names(models[k - 1]))]
    models = models[max(starts, default=0) :]
    joined = compose.add_prefix(models[0], "0-", rename_inputs=False)
    before = "0-"
    for index, model in enumerate(models[1:], start=1):
        prefix = f"{index}-"
        following = compose.add_prefix(model, prefix)
        links = [(before + _source(value.name), prefix + value.name) for value in model.graph.input]
        joined = compose.merge_models(joined, following, links, outputs=[prefix + out for out in _names(model)])
        before = prefix
    last = f"{before}logits"
    for output in [output for output in joined.graph.output if output.name != last]:
        joined.graph.output.remove(output)
    _rename(joined, last, "logits")
    onnx.checker.check_model(joined, full_check=True)
    data: bytes = joined.SerializeToString(deterministic=True)
    return data


def _source(name: str) -> str:
    """Name of the output that feeds an input: ``features`` is fed by ``next``, ``features-1`` by ``next-1``."""
    return "next" + name.removeprefix("features")


def _names(model: onnx.ModelProto) -> list[str]:
    return [output.name for output in model.graph.output]


def _rename(model: onnx.ModelProto, old: str, new: str) -> None:
    for node in model.graph.node:
        node.output[:] = [new if name == old else name for name in node.output]
    for output in model.graph.output:
        output.name = new
