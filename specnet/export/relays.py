"""Relays as ONNX nodes: what an exit takes over from the one before, and what it leaves to the next.

Legend: n spectra, S numbers handed on, P positions, R rows that those numbers take, C channels.
"""

from __future__ import annotations

from functools import singledispatch

from torch import nn

from specnet.errors import ModelError
from specnet.export.graph import GraphBuilder
from specnet.nn.relays import Attention, Cascade, Relay, carried_rows


@singledispatch
def emit_relay(relay: Relay, graph: GraphBuilder, embedding: str, logits: str, received: str) -> str:
    """Write a relay, ending in the output ``logits``; one implementation a class.

    Parameters
    ----------
    relay
        Part of an exit head.
    graph
        What it is written to.
    embedding, logits, received
        What the head's classifier looks at, what it says, and what the exit before left ``(n, S)``; nothing for the
        first exit.

    Returns
    -------
    str
        What is left to the next exit, ``(n, S)``.
    """
    raise ModelError(f"relay {type(relay).__name__} has no ONNX form")


@emit_relay.register
def _(relay: Cascade, graph: GraphBuilder, embedding: str, logits: str, received: str) -> str:
    if received and relay.weigh is not None:
        logits = graph.node("Add", logits, _linear(graph, received, relay.weigh), output="logits")
    else:
        logits = graph.node("Identity", logits, output="logits")
    one, zero = graph.constant([1.0] * relay.size), graph.constant([0.0] * relay.size)
    return graph.node("LayerNormalization", logits, one, zero, axis=-1)


@emit_relay.register
def _(relay: Attention, graph: GraphBuilder, embedding: str, logits: str, received: str) -> str:
    seen = graph.node("Relu", _linear(graph, embedding, relay.value))
    amount = _linear(graph, seen, relay.score)
    if received:
        width = relay.size - 1
        before, known = _columns(graph, received, 0, width), _columns(graph, received, width, relay.size)
        more = graph.node("Sub", amount, known)
        step = graph.node("Mul", graph.node("Sigmoid", more), graph.node("Sub", seen, before))
        seen, amount = graph.node("Add", before, step), graph.node("Add", known, graph.node("Softplus", more))
    graph.node("Add", logits, _linear(graph, seen, relay.weigh), output="logits")
    return graph.node("Concat", seen, amount, axis=1)


def emit_load(graph: GraphBuilder, features: str, handed: str, size: int, channels: int) -> None:
    """Write the output ``next``: features ``(n, P, C)``, with what is handed on ``(n, S)`` in further rows."""
    rows = carried_rows(size, channels)
    filled = graph.node("Pad", handed, graph.integers([0, 0, 0, rows * channels - size]))
    graph.node("Concat", features, graph.reshape(filled, [0, rows, channels]), axis=1, output="next")


def emit_unload(graph: GraphBuilder, size: int, positions: int, channels: int) -> tuple[str, str]:
    """Take the input ``features`` apart: features ``(n, P, C)``, and what the exit before left ``(n, S)``."""
    rows = carried_rows(size, channels)
    carried = graph.reshape(_columns(graph, "features", positions, positions + rows), [0, rows * channels])
    return _columns(graph, "features", 0, positions), _columns(graph, carried, 0, size)


def _columns(graph: GraphBuilder, x: str, first: int, end: int) -> str:
    """Entries `first` to `end` along the axis behind the batch."""
    return graph.node("Slice", x, *(graph.integers([bound]) for bound in (first, end, 1)))


def _linear(graph: GraphBuilder, x: str, layer: nn.Linear) -> str:
    bias = None if layer.bias is None else layer.bias.detach().numpy()
    return graph.linear(x, layer.weight.detach().numpy().T, bias)
