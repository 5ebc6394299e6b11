"""Logits and probabilities."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]


def log_softmax(logits: Float32) -> Float32:
    """Log-probabilities ``(..., C)`` of logits ``(..., C)``."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))  # type: ignore[no-any-return]
