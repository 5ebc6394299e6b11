"""Logits and probabilities."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]


def softmax(logits: Float32) -> Float32:
    """Probabilities ``(..., C)`` of logits ``(..., C)``."""
    found: Float32 = logits - np.maximum.reduce(logits, axis=-1, keepdims=True)
    np.exp(found, found)
    found /= np.add.reduce(found, axis=-1, keepdims=True)
    return found


def log_softmax(logits: Float32) -> Float32:
    """Log-probabilities ``(..., C)`` of logits ``(..., C)``."""
    # reductions of ufuncs and not methods of arrays: one spectrum on a device pays for every call, not for numbers
    shifted: Float32 = logits - np.maximum.reduce(logits, axis=-1, keepdims=True)
    shifted -= np.log(np.add.reduce(np.exp(shifted), axis=-1, keepdims=True))
    return shifted
