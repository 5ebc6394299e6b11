"""Batch norms folded into the layer before them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

Array = NDArray[np.float32]


def fold(layer: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Array, Array]:
    """Weight ``(out, in, taps)`` and bias ``(out,)`` of a convolution of height 1 with its batch norm folded in.

    Computed in double precision, so that folding costs no accuracy.
    """
    assert norm.running_mean is not None
    assert norm.running_var is not None
    weight, gamma, beta = (_double(t) for t in (layer.weight, norm.weight, norm.bias))
    mean, variance = _double(norm.running_mean), _double(norm.running_var)
    weight = weight[:, :, 0]
    scale = gamma / np.sqrt(variance + norm.eps)
    bias = 0.0 if layer.bias is None else _double(layer.bias)
    return (weight * scale[:, None, None]).astype(np.float32), ((bias - mean) * scale + beta).astype(np.float32)


def fold_norm(norm: nn.BatchNorm2d) -> tuple[Array, Array]:
    """Scale and offset ``(channels,)`` of a batch norm that follows no layer."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    gamma, beta, mean, variance = (_double(t) for t in (norm.weight, norm.bias, norm.running_mean, norm.running_var))
    scale = gamma / np.sqrt(variance + norm.eps)
    return scale.astype(np.float32), (beta - mean * scale).astype(np.float32)


def _double(tensor: Tensor) -> NDArray[np.float64]:
    array: NDArray[np.float64] = tensor.detach().cpu().double().numpy()
    return array
