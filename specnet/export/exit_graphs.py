"""ONNX graphs of any network, one from exit to exit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from specnet.errors import ModelError
from specnet.export.baselines import msdnet1d_graphs, resnet1d_graphs
from specnet.export.fastest import fastest_forms
from specnet.export.segments import export_segments
from specnet.nn import SpecNet
from specnet.nn.ensemble1d import Ensemble1d
from specnet.nn.msdnet1d import MSDNet1d
from specnet.nn.protocol import ExitNetwork
from specnet.nn.resnet1d import ResNet1d

Float32 = NDArray[np.float32]


def exit_graphs(network: ExitNetwork, spectra: Float32 | None = None) -> list[bytes]:
    """One ONNX graph for each exit of a network, which is set to evaluation mode.

    The first takes the spectrum as ``features (n, L, 1)``. Outputs called ``next...`` of one graph are the inputs
    ``features...`` of the following; where there are none, the spectrum goes to it. Stages whose positions halt have
    the form that is faster here on preprocessed `spectra` ``(n, L)``, as with ``specnet export --fastest``; without
    spectra what has halted is skipped.

    Raises
    ------
    ModelError
        When the network, or a part of it, has no ONNX form.
    """
    network.eval()
    if isinstance(network, SpecNet):
        forms = () if spectra is None else fastest_forms(network, spectra)
        return [segment.data for segment in export_segments(network, forms)]
    if isinstance(network, ResNet1d):
        return resnet1d_graphs(network)
    if isinstance(network, MSDNet1d):
        return msdnet1d_graphs(network)
    if isinstance(network, Ensemble1d):
        return [graph for index in range(network.n_exits) for graph in resnet1d_graphs(network.member(index))]
    raise ModelError(f"network {type(network).__name__} has no ONNX form")
