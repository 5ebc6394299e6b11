"""The baseline networks as ONNX graphs, one from exit to exit: what their latency is measured on.

A bundle holds none of them: its segments hand on one array of features, a multi-scale network one for each scale.

Legend: n spectra, L points, P positions, C channels.
"""

from __future__ import annotations

from onnx import TensorProto
from torch import nn

from specnet.export.folding import fold
from specnet.export.graph import GraphBuilder
from specnet.nn.convolution import ConvNorm
from specnet.nn.msdnet1d import DenseHead, MSDNet1d, convolutions
from specnet.nn.resnet1d import ResNet1d


def resnet1d_graphs(network: ResNet1d) -> list[bytes]:
    """Export a static residual network as its one graph: ``features (n, L, 1)`` in, ``logits`` out."""
    config = network.config
    graph = GraphBuilder("resnet1d")
    x = _convolution(graph, network.stem, graph.reshape("features", [0, 1, 1, config.n_points]))
    for index in range(len(network.blocks)):
        block = network.block(index)
        carried = x if block.shortcut is None else _convolution(graph, block.shortcut, x)
        branch = _convolution(graph, block.second, _convolution(graph, block.first, x))
        x = graph.node("Relu", graph.node("Add", branch, carried))
    _classify(graph, network.classify, graph.node("Flatten", x))
    return [graph.build((config.n_points, 1), {"logits": (TensorProto.FLOAT, [config.n_classes])})]


def msdnet1d_graphs(network: MSDNet1d) -> list[bytes]:
    """Export a multi-scale network, one graph an exit.

    The first takes the spectrum ``features (n, L, 1)``. Graph k hands on the dense features of scale s as ``next-s``
    ``(n, C, 1, P)``, which graph k + 1 takes as ``features-s``; the finest scale's are ``next`` and ``features``.
    """
    return [_msdnet1d_graph(network, index) for index in range(network.n_exits)]


def _msdnet1d_graph(network: MSDNet1d, index: int) -> bytes:
    config = network.config
    graph = GraphBuilder(f"msdnet1d-{index}")
    if index == 0:
        features, spectrum = [], graph.reshape("features", [0, 1, 1, config.n_points])
        for layer in network.first_layers():
            spectrum = _convolution(graph, layer, spectrum)
            features.append(spectrum)
        entering: dict[str, tuple[int, ...]] = {"features": (config.n_points, 1)}
    else:
        entering = {_scaled("features", s): shape for s, shape in enumerate(_shapes(network, index - 1))}
        features = list(entering)
    for scale, dense in network.layers(index):
        finer = [] if dense.down is None else [_chain(graph, dense.down, features[scale - 1])]
        own = _chain(graph, dense.normal, features[scale])
        features[scale] = graph.node("Concat", features[scale], *finer, own, axis=1)
    _dense_head(graph, network.head(index), features[-1])
    outputs: dict[str, tuple[int, tuple[int, ...]]] = {"logits": (TensorProto.FLOAT, (config.n_classes,))}
    if index < network.n_exits - 1:
        for scale, shape in enumerate(_shapes(network, index)):
            graph.node("Identity", features[scale], output=_scaled("next", scale))
            outputs[_scaled("next", scale)] = (TensorProto.FLOAT, shape)
    first = entering.pop("features")
    return graph.build(first, dict(outputs), more_inputs=dict(entering))


def _shapes(network: MSDNet1d, index: int) -> list[tuple[int, ...]]:
    """Shape ``(C, 1, P)`` of every scale's dense features at an exit."""
    config = network.config
    behind = range(config.scales - 1, -1, -1)
    layers = [max(0, config.steps[index] - late) for late in behind]
    return [(config.dense_channels(s, layers[s]), 1, positions) for s, positions in enumerate(config.positions)]


def _scaled(name: str, scale: int) -> str:
    return f"{name}-{scale}" if scale else name


def _dense_head(graph: GraphBuilder, head: DenseHead, x: str) -> None:
    reduced = _chain(graph, head.reduce, x)
    pooled = graph.node("AveragePool", reduced, kernel_shape=[1, head.pool], strides=[1, head.pool])
    _classify(graph, head.classify, graph.node("Flatten", pooled))


def _chain(graph: GraphBuilder, layers: nn.Sequential, x: str) -> str:
    for layer in convolutions(layers):
        x = _convolution(graph, layer, x)
    return x


def _convolution(graph: GraphBuilder, layer: ConvNorm, x: str) -> str:
    weight, bias = fold(layer.conv, layer.norm)
    pad = weight.shape[2] // 2
    filtered = graph.convolution(x, weight, bias, stride=layer.stride, pads=(pad, pad))
    return graph.node("Relu", filtered) if layer.activate else filtered


def _classify(graph: GraphBuilder, layer: nn.Linear, flat: str) -> None:
    weight, bias = graph.constant(layer.weight.detach().numpy().T), graph.constant(layer.bias.detach().numpy())
    graph.node("Gemm", flat, weight, bias, output="logits")
