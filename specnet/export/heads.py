"""Exit heads as ONNX nodes.

Legend: n spectra, P positions, C channels, D numbers that a head's classifier looks at, S numbers handed on.
"""

from __future__ import annotations

from functools import singledispatch

from specnet.errors import ModelError
from specnet.export.graph import GraphBuilder
from specnet.export.relays import emit_relay
from specnet.nn import ExitHead
from specnet.nn.heads import BinnedHead, PooledHead


@singledispatch
def emit_embedding(head: ExitHead, graph: GraphBuilder, image: str) -> str:
    """Write what a head's classifier looks at ``(n, D)``, from ``(n, C, 1, P)``; one implementation a class."""
    raise ModelError(f"exit head {type(head).__name__} has no ONNX form")


@emit_embedding.register
def _(head: BinnedHead, graph: GraphBuilder, image: str) -> str:
    if head.window > 1:
        window = [1, head.window]
        image = graph.node("MaxPool", image, kernel_shape=window, strides=window, ceil_mode=1)
    assert head.reduce.bias is not None
    weight, bias = head.reduce.weight.detach().numpy()[:, :, 0], head.reduce.bias.detach().numpy()
    return graph.node("Flatten", graph.node("Relu", graph.convolution(image, weight, bias)))


@emit_embedding.register
def _(head: PooledHead, graph: GraphBuilder, image: str) -> str:
    highest = graph.node("ReduceMax", image, axes=[2, 3], keepdims=0)
    mean = graph.node("ReduceMean", image, axes=[2, 3], keepdims=0)
    return graph.node("Concat", highest, mean, axis=1)


def emit_head(head: ExitHead, graph: GraphBuilder, image: str, received: str = "") -> str:
    """Write an exit head on features ``(n, C, 1, P)``, ending in the output ``logits``.

    Parameters
    ----------
    head
        Of the exit.
    graph
        What it is written to.
    image
        Features of the stage.
    received
        What the exit before left ``(n, S)``, where it leaves anything.

    Returns
    -------
    str
        What is left to the next exit; nothing where the head has no relay.

    Raises
    ------
    ModelError
        When the head has no ONNX form.
    """
    embedding = emit_embedding(head, graph, image)
    weight, bias = (graph.constant(value.detach().numpy()) for value in (head.classify.weight.T, head.classify.bias))
    output = "logits" if head.relay is None else ""
    logits = graph.node("Gemm", embedding, weight, bias, output=output)
    return "" if head.relay is None else emit_relay(head.relay, graph, embedding, logits, received)
